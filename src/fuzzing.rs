//! What a fuzzer does to everything that reads bytes from outside, and what the tests replay of what it found. Each room
//! tries its own decoders in a module of this name, and checks more than that nothing panics: what was read is written
//! and read as the same, what is accepted is valid, what is refused says where. `tools/fuzz.sh` runs the targets;
//! `fuzz/corpus` is what they begin with.

/// A decoder and what is done to it.
pub struct Target {
    /// Its name, that of the folder in `fuzz/corpus`, and of the program in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Feeds it some bytes. Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with, made by the code that writes what the decoder reads.
    #[cfg(test)]
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:literal: $($room:ident)::+, $run:ident, $seeds:ident;)*) => {
        /// Every target, but those of the files of indexes and of sections, which keep their own seeds.
        pub const TARGETS: &[Target] = &[$(Target {
            name: $name,
            run: crate::$($room)::+::$run,
            #[cfg(test)]
            seeds: crate::$($room)::+::$seeds,
        }),*];
    };
}

targets! {
    "keys": store::fuzzing, keys, key_seeds;
    "records": store::fuzzing, records, record_seeds;
    "counters": store::fuzzing, counters, counter_seeds;
    "documents": engine::fuzzing, documents, document_seeds;
    "filters": recommend::fuzzing, filters, filter_seeds;
    "settings": engine::fuzzing, settings, setting_seeds;
    "rows": ingest::fuzzing, rows, row_seeds;
    "parquet": ingest::fuzzing, parquet, parquet_seeds;
    "vectors": ingest::fuzzing, vectors, vector_seeds;
    "bundle": snapshot::fuzzing, bundle, bundle_seeds;
    "bundle_signed": snapshot::fuzzing, bundle_signed, bundle_signed_seeds;
    "paths": server::fuzzing, paths, path_seeds;
    "bodies": server::fuzzing, bodies, body_seeds;
}

/// Runs a target by its name.
#[cfg(fuzzing)]
pub fn run(name: &str, bytes: &[u8]) {
    match name {
        "index_any" => crate::index::fuzzing::any(bytes),
        "index_signed" => crate::index::fuzzing::signed(bytes),
        "sections_any" => crate::snapshot::fuzzing::sections_any(bytes),
        "sections_signed" => crate::snapshot::fuzzing::sections_signed(bytes),
        name => TARGETS.iter().filter(|target| target.name == name).for_each(|target| (target.run)(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn folder(below: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(below)
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        std::fs::read_dir(folder).unwrap().map(name).collect()
    }

    #[test]
    fn what_was_ever_found_is_found_no_more() {
        for target in TARGETS {
            let corpus = folder("corpus").join(target.name);
            for name in names(&corpus) {
                (target.run)(&std::fs::read(corpus.join(name)).unwrap());
            }
        }
    }

    /// `SAVOR_BLESS=1` writes the seeds that a fuzzer begins with.
    #[test]
    fn every_target_begins_with_what_its_decoder_takes_today() {
        for target in TARGETS {
            for (number, seed) in (target.seeds)().into_iter().enumerate() {
                (target.run)(&seed);
                let path = folder("corpus").join(target.name).join(format!("seed-{number:02}"));
                if std::env::var_os("SAVOR_BLESS").is_some() {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(&path, &seed).unwrap();
                }
                assert!(path.is_file(), "{} is missing; write it with SAVOR_BLESS=1", path.display());
            }
        }
    }

    #[test]
    fn every_target_has_a_program_and_a_corpus() {
        let own = ["index_any", "index_signed", "sections_any", "sections_signed"];
        let targets: BTreeSet<String> =
            TARGETS.iter().map(|target| target.name).chain(own).map(str::to_owned).collect();
        let programs = names(&folder("fuzz_targets")).into_iter();
        let programs: BTreeSet<String> = programs.map(|name| name.trim_end_matches(".rs").to_owned()).collect();
        assert_eq!(programs, targets);
        assert_eq!(names(&folder("corpus")), targets);
        let package = std::fs::read_to_string(folder("Cargo.toml")).unwrap();
        for target in targets {
            assert!(package.contains(&format!("name = \"{target}\"")), "{target} is not in fuzz/Cargo.toml");
        }
    }
}
