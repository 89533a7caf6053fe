//! From a source into a sink.

use super::*;

const MIXED: &str = "user,item,rating,timestamp\nu1,i1,5,1\nu2,i2,bad,1\nu3,i3,1,1\nu4\n";

#[test]
fn importing_twice_stores_once() {
    let files = Files::new();
    let source = files.source("a.csv", "user,item\nu1,i1\nu2,i2\nu1,i1\n");
    let mut memory = Memory::default();
    let options = ImportOptions { batch: 2, ..ImportOptions::default() };
    let first = import(&source, Kind::Events, &options, &mut memory, &Silent).unwrap();
    assert_eq!((first.read, first.stored, first.known, first.rejected), (3, 2, 1, 0));
    let again = import(&source, Kind::Events, &options, &mut memory, &Silent).unwrap();
    assert_eq!((again.read, again.stored, again.known), (3, 0, 3));
    assert_eq!((memory.writes, memory.finished), (4, 2));
}

#[test]
fn bad_rows_go_to_the_rejects_file_while_the_rest_is_stored() {
    let files = Files::new();
    let rejects = files.path("rejects.jsonl");
    let options = ImportOptions { rejects: Some(rejects.clone()), ..ImportOptions::default() };
    let source = files.source("a.csv", MIXED);
    let summary = import(&source, Kind::Events, &options, &mut Memory::default(), &Silent).unwrap();
    assert_eq!((summary.read, summary.stored, summary.rejected), (4, 2, 2));
    assert_eq!(summary.rejects, Some(rejects.clone()));
    assert!(summary.first_errors[0].ends_with("a.csv:3: rating: is \"bad\", expected a number"));
    let lines = std::fs::read_to_string(rejects).unwrap();
    let lines: Vec<Rejected> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0].line, lines[0].row.as_str()), (3, "u2,i2,bad,1"));
    assert_eq!((lines[1].line, lines[1].field.as_str()), (5, "row"));
}

#[test]
fn a_clean_import_makes_no_rejects_file() {
    let files = Files::new();
    let rejects = files.path("rejects.jsonl");
    let options = ImportOptions { rejects: Some(rejects.clone()), ..ImportOptions::default() };
    let source = files.source("a.csv", "user,item\nu,i\n");
    let summary = import(&source, Kind::Events, &options, &mut Memory::default(), &Silent).unwrap();
    assert_eq!(summary.rejects, None);
    assert!(!rejects.exists());
}

#[test]
fn a_strict_import_of_a_bad_file_stores_nothing() {
    let files = Files::new();
    let mut memory = Memory::default();
    let options = ImportOptions { strict: true, batch: 1, ..ImportOptions::default() };
    let error = import(&files.source("a.csv", MIXED), Kind::Events, &options, &mut memory, &Silent).unwrap_err();
    assert!(matches!(error, Error::BadRow { line: 3, .. }), "{error}");
    assert_eq!(memory.writes, 0);
    let good = files.source("b.csv", "user,item\nu,i\n");
    assert_eq!(import(&good, Kind::Events, &options, &mut memory, &Silent).unwrap().stored, 1);
    let stdin = Source { format: Some(Format::Csv), ..Source::file("-") };
    let error = import(&stdin, Kind::Events, &options, &mut memory, &Silent).unwrap_err();
    assert!(error.to_string().starts_with("strict:"), "{error}");
}

#[test]
fn a_record_that_the_sink_refuses_is_rejected_alone() {
    let files = Files::new();
    let mut memory = Memory { refuse: Some("i2"), ..Memory::default() };
    let source = files.source("a.csv", "id\ni1\ni2\ni3\n");
    let summary = import(&source, Kind::Items, &ImportOptions::default(), &mut memory, &Silent).unwrap();
    assert_eq!((summary.stored, summary.rejected), (2, 1));
    assert!(summary.first_errors[0].ends_with("a.csv:3: items: holds i2"), "{:?}", summary.first_errors);
}

/// Notes each step and cancels after the first.
#[derive(Default)]
struct OneStep {
    cancelled: AtomicBool,
    steps: Mutex<Vec<Step>>,
}

impl Progress for OneStep {
    fn report(&self, step: &Step) {
        self.steps.lock().unwrap().push(step.clone());
        self.cancelled.store(true, Ordering::SeqCst);
    }
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

#[test]
fn a_cancelled_import_stops_and_makes_durable_what_it_stored() {
    let files = Files::new();
    let content = format!("user,item\n{}", "u,i\n".repeat(100_000));
    let mut memory = Memory::default();
    let options = ImportOptions { batch: 10, ..ImportOptions::default() };
    let progress = OneStep::default();
    let error = import(&files.source("a.csv", &content), Kind::Events, &options, &mut memory, &progress).unwrap_err();
    assert!(matches!(error, Error::Cancelled(_)));
    assert_eq!((memory.writes, memory.finished), (1, 1));
    let steps = progress.steps.into_inner().unwrap();
    let Step::Importing { rows, bytes, total_bytes, .. } = steps[0] else { panic!("{steps:?}") };
    assert_eq!((rows, total_bytes), (10, Some(content.len() as u64)));
    assert!((1..=content.len() as u64).contains(&bytes));
}

#[test]
fn a_broken_gzip_is_an_error_and_what_came_before_it_is_kept() {
    let files = Files::new();
    let mut bytes = gzipped("user,item\n".to_owned() + &"u,i\n".repeat(200_000));
    bytes.truncate(bytes.len() - 9);
    let mut memory = Memory::default();
    let source = files.source("a.csv.gz", bytes);
    let error = import(&source, Kind::Events, &ImportOptions::default(), &mut memory, &Silent).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(memory.writes > 0 && memory.finished == 1);
}

#[test]
fn the_mapping_of_movielens_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/movielens.toml");
    let mapping = Mapping::from_file(path).unwrap();
    let files = Files::new();
    let head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n";
    let source = files.source(
        "ml.item",
        format!("{head}1\t\"Toy\" Story\t1995\tAnimation Children's\n267\tunkonwn\tunkonwn\tunknown\n"),
    );
    let items = items(&Source { mapping, ..source });
    assert_eq!(items[0].attributes["title"], text("\"Toy\" Story"));
    assert_eq!(items[0].attributes["year"], Value::Number(1995.0));
    assert_eq!(items[0].categories, ["Animation", "Children's"]);
    assert!(!items[1].attributes.contains_key("year"));
}
