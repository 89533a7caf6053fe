//! Adjacency lists, and pairs for evaluation from any format.

use super::*;

#[test]
fn each_item_of_a_line_is_an_event_of_its_user() {
    let files = Files::new();
    let source = files.source("train.txt.gz", gzipped("0 5 6\r\n1\n\n 2\t7 \n"));
    let source = Source { format: Some(Format::Adjacency), ..source };
    let view = |user: &str, item: &str| Event::new(user, item, "view").at(at(0));
    assert_eq!(events(&source), [view("0", "5"), view("0", "6"), view("2", "7")]);
    assert_eq!(pairs(&source).unwrap().len(), 3);
    let source = mapped(source, "[events]\ntype = {constant = \"buy\"}\ntime = {constant = \"2026-11-24\"}\n");
    assert_eq!(events(&source)[0], Event::new("0", "5", "buy").at("2026-11-24".parse().unwrap()));
    assert!(read(&source, Kind::Items).err().unwrap().to_string().contains("adjacency"));
}

#[test]
fn pairs_come_from_every_format_and_a_bad_row_is_an_error() {
    let files = Files::new();
    let expected = [("u".to_owned(), "i".to_owned())];
    assert_eq!(pairs(&files.source("a.csv", "user,item\nu,i\n")).unwrap(), expected);
    assert_eq!(pairs(&files.source("a.jsonl", "{\"user\":\"u\",\"item\":\"i\"}\n")).unwrap(), expected);
    let error = pairs(&files.source("b.csv", "user,item\nu,i\n,j\n")).unwrap_err();
    assert!(matches!(error, Error::BadRow { line: 3, .. }), "{error}");
}
