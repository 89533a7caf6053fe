//! What happens in each round, from the seed alone.

use std::collections::VecDeque;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::fault::Point;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `savor serve`, asked over HTTP.
    Server,
    /// The library in another process.
    Library,
    /// Commands on the directory, one after the other.
    Commands,
    /// `savor restore` of the last backup into a new place.
    Restore,
    /// Any command on a directory of an older format.
    Migration,
}

/// What the thread beside the writers does most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    Train,
    BackUp,
    Bundle,
    Search,
    Tenants,
    Anything,
}

/// When the process is killed.
#[derive(Clone, Debug)]
pub enum Blow {
    /// After so many acknowledged operations and so many more microseconds.
    After { operations: u64, microseconds: u64 },
    /// By itself, at the n-th visit of a point.
    At(Point, u64),
}

/// One round.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub focus: Focus,
    pub blow: Blow,
    /// For what the round decides by chance.
    pub seed: u64,
}

/// The rounds of a world of a seed, without end. Every point comes up again and again, in an order of its own each time. Worlds
/// share the first order, and each begins in another part of it, so that together they soon have been at all points.
pub struct Schedule {
    random: ChaCha8Rng,
    points: VecDeque<Point>,
}

impl Schedule {
    pub fn new(seed: u64, world: u64, worlds: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::MAX);
        let mut points = Point::ALL.to_vec();
        points.shuffle(&mut random);
        let mut points = VecDeque::from(points);
        points.rotate_left(points.len() * world as usize / worlds.max(1) as usize);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(world);
        Self { random, points }
    }

    pub fn next(&mut self) -> Plan {
        let random = &mut self.random;
        let seed = random.random();
        if random.random_bool(0.5) {
            if self.points.is_empty() {
                let mut points = Point::ALL.to_vec();
                points.shuffle(random);
                self.points = points.into();
            }
            if let Some(point) = self.points.pop_front() {
                let (kind, focus, most) = reach(point, random);
                return Plan { kind, focus, blow: Blow::At(point, random.random_range(1..=most)), seed };
            }
        }
        let kind = match random.random_range(0..20) {
            0 => Kind::Restore,
            1 => Kind::Migration,
            2..5 => Kind::Commands,
            5..14 => Kind::Server,
            _ => Kind::Library,
        };
        let focus = *[Focus::Train, Focus::BackUp, Focus::Search, Focus::Tenants, Focus::Anything, Focus::Anything]
            .choose(random)
            .unwrap_or(&Focus::Anything);
        let blow =
            Blow::After { operations: random.random_range(0..100), microseconds: random.random_range(0..20_000) };
        Plan { kind, focus, blow, seed }
    }
}

/// How a point is come by: who, doing what, and up to which visit.
fn reach(point: Point, random: &mut ChaCha8Rng) -> (Kind, Focus, u64) {
    let mut either = |focus, most| (if random.random_bool(0.5) { Kind::Server } else { Kind::Library }, focus, most);
    match point {
        Point::MigrationBuilt | Point::Migrated => (Kind::Migration, Focus::Anything, 1),
        Point::RestoreStaged => (Kind::Restore, Focus::Anything, 1),
        Point::ImportBatch => (Kind::Library, Focus::Anything, 5),
        Point::ImportEnd => (Kind::Library, Focus::Anything, 2),
        Point::BundleKnown => (Kind::Library, Focus::Bundle, 2),
        Point::Locked | Point::LeftoversRemoved => either(Focus::Anything, 1),
        Point::WalWritten | Point::WalSynced => either(Focus::Anything, 150),
        Point::EraseBuilt | Point::MergeBuilt | Point::ScenarioStored | Point::ExperimentStored => {
            either(Focus::Anything, 5)
        }
        Point::BackupStaged | Point::CopyNamed => either(Focus::BackUp, 2),
        Point::SpaceFrozen => either(Focus::Search, 1),
        Point::TenantGone | Point::TenantSettled => either(Focus::Tenants, 2),
        Point::RetentionMarked | Point::RetentionFactorsGone | Point::RetentionFilesGone => either(Focus::Train, 2),
        Point::SnapshotBegun
        | Point::FactorsWritten
        | Point::IndexStaged
        | Point::IndexNamed
        | Point::PartsStaged
        | Point::FilesNamed
        | Point::SnapshotValidated
        | Point::SwapLoaded
        | Point::SwapStored => either(Focus::Train, 3),
    }
}
