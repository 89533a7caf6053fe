//! The column families, and how RocksDB is set up for each kind of access.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, LogLevel, Options,
};

use super::budget::Budget;
use super::{counters, storage};
use crate::config::StoreConfig;
use crate::error::{Error, Result};

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Meta,
    Users,
    Items,
    UserIds,
    ItemIds,
    Events,
    UserEvents,
    ItemVectors,
    UserFactors,
    ItemFactors,
    Snapshots,
    Experiments,
    Exposures,
    Jobs,
    Trials,
    ItemIndex,
    EventCounters,
}

/// All of them.
pub const ALL: [Family; 17] = [
    Family::Meta,
    Family::Users,
    Family::Items,
    Family::UserIds,
    Family::ItemIds,
    Family::Events,
    Family::UserEvents,
    Family::ItemVectors,
    Family::UserFactors,
    Family::ItemFactors,
    Family::Snapshots,
    Family::Experiments,
    Family::Exposures,
    Family::Jobs,
    Family::Trials,
    Family::ItemIndex,
    Family::EventCounters,
];

impl Family {
    /// Its name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Users => "users",
            Self::Items => "items",
            Self::UserIds => "user_ids",
            Self::ItemIds => "item_ids",
            Self::Events => "events",
            Self::UserEvents => "user_events",
            Self::ItemVectors => "item_vectors",
            Self::UserFactors => "user_factors",
            Self::ItemFactors => "item_factors",
            Self::Snapshots => "snapshots",
            Self::Experiments => "experiments",
            Self::Exposures => "exposures",
            Self::Jobs => "jobs",
            Self::Trials => "trials",
            Self::ItemIndex => "item_index",
            Self::EventCounters => "event_counters",
        }
    }

    /// Whether it holds what people write about users and items: small families, in which one write may touch an entry
    /// twice.
    pub const fn is_catalogue(self) -> bool {
        matches!(self, Self::Meta | Self::Users | Self::Items | Self::ItemVectors)
    }

    /// RocksDB's handle of it.
    pub fn of(self, db: &DB) -> Result<&ColumnFamily> {
        let missing = || Error::corrupt(format!("column family \"{}\"", self.name()), "is missing; restore a backup");
        db.cf_handle(self.name()).ok_or_else(missing)
    }

    /// The events grow without end and are written in bulk: large memtables. All point reads profit from a Bloom filter.
    fn options(self, budget: &Budget) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&budget.cache);
        // The item index is only ever read by ranges.
        if self != Self::ItemIndex {
            table.set_bloom_filter(10.0, false);
        }
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_format_version(5);
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        // Floats hardly compress.
        let is_floats = matches!(self, Self::UserFactors | Self::ItemFactors | Self::ItemVectors);
        options.set_compression_type(if is_floats { DBCompressionType::None } else { DBCompressionType::Lz4 });
        options.set_level_compaction_dynamic_level_bytes(true);
        if matches!(self, Self::Events | Self::UserEvents) {
            options.set_write_buffer_size(budget.memtable(64 << 20));
            options.set_max_write_buffer_number(4);
            options.set_memtable_whole_key_filtering(true);
            options.set_memtable_prefix_bloom_ratio(0.02);
        } else {
            options.set_write_buffer_size(budget.memtable(16 << 20));
        }
        if self == Self::EventCounters {
            counters::merged(&mut options);
        }
        options
    }
}

/// Opens or creates the database with all families.
pub fn open(path: &Path, config: &StoreConfig, budget: &Budget) -> Result<DB> {
    // A manifest has the first and the last key of each table in it: whatever changes it writes it anew, some 150 bytes a
    // table, so that a key that is gone does not stay there.
    let manifest = "max_manifest_file_size=1;max_manifest_space_amp_pct=0";
    let mut options = Options::default().get_options_from_string(manifest).map_err(storage("open"))?;
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // What was acknowledged is read back or the opening fails: the default mode would stop at a damaged record and drop all
    // that came after it. A record that a crash cut off at the end of a log was never acknowledged, and goes.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_paranoid_checks(true);
    // The manifest has the sizes of logs that are closed; of the last, `watermark` knows.
    options.set_track_and_verify_wals_in_manifest(true);
    budget.apply(&mut options);
    // One thread writes at a time (see `commit`): sorted batches insert next to the last place.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    options.set_bytes_per_sync(1 << 20);
    options.set_wal_bytes_per_sync(1 << 20);
    options.set_wal_ttl_seconds(config.log_retention.millis().max(0).cast_unsigned().div_ceil(1_000));
    options.set_keep_log_file_num(2);
    options.set_log_level(LogLevel::Warn);
    let families = ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family.options(budget)));
    DB::open_cf_descriptors(&options, path, families).map_err(storage("open"))
}
