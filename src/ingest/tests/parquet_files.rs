//! Parquet, written by the same crate.

use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

use super::*;

const ITEMS: &str = "message items {
    required binary item_id (UTF8);
    optional double price;
    optional int32 stock;
    optional int64 published (TIMESTAMP(MILLIS,true));
    optional group embedding (LIST) { repeated group list { optional float element; } }
    optional group tags (LIST) { repeated group list { optional binary element (UTF8); } }
}";

fn text(text: &str) -> ByteArray {
    ByteArray::from(text)
}

fn write(path: &Path) {
    std::fs::write(path, parquet_bytes(Compression::UNCOMPRESSED)).unwrap();
}

/// Two row groups of three items, the second of which has nothing but its id.
pub fn parquet_bytes(codec: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(ITEMS).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for group in 0..2 {
        let id = |n: i32| text(&format!("i{}", group * 3 + n));
        let ids = [id(0), id(1), id(2)];
        let mut columns = writer.next_row_group().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[1.5, 2.5], Some(&[1, 0, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&[7, 8], Some(&[1, 0, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[1_000, 2_000], Some(&[1, 0, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        let values = [0.5, 1.0, 1.5, 2.0];
        column.typed::<FloatType>().write_batch(&values, Some(&[3, 3, 0, 3, 3]), Some(&[0, 1, 0, 0, 1])).unwrap();
        column.close().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        let values = [text("a"), text("b")];
        column.typed::<ByteArrayType>().write_batch(&values, Some(&[3, 3, 0, 1]), Some(&[0, 1, 0, 0])).unwrap();
        column.close().unwrap();
        columns.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn values_nulls_lists_and_times_are_read_back() {
    let files = Files::new();
    let path = files.path("items.parquet");
    write(&path);
    let source = mapped(Source::file(&path), "[items]\nvectors.image = \"embedding\"\ncategories = \"tags\"\n");
    let items = items(&source);
    assert_eq!(items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["i0", "i1", "i2", "i3", "i4", "i5"]);
    assert_eq!(items[0].vectors["image"], [0.5, 1.0]);
    assert_eq!(items[5].vectors["image"], [1.5, 2.0]);
    assert_eq!(items[0].categories, ["a", "b"]);
    assert_eq!(items[2].attributes["price"], Value::Number(2.5));
    assert_eq!(items[2].attributes["stock"], Value::Number(8.0));
    assert_eq!(items[2].time, Some(at(2)));
    assert_eq!(items[1], Item::new("i1"));
    let mut rows = read(&source, Kind::Items).unwrap();
    let total = rows.total_bytes().unwrap();
    assert_eq!(rows.by_ref().count(), 6);
    assert!((1..=total).contains(&rows.bytes()));
}

#[test]
fn a_damaged_file_is_an_error_and_no_panic() {
    let files = Files::new();
    let path = files.path("items.parquet");
    write(&path);
    let whole = std::fs::read(&path).unwrap();
    let mut failures = 0;
    for place in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        let source = files.source("damaged.parquet", damaged);
        match read(&source, Kind::Items) {
            Ok(rows) => failures += usize::from(rows.into_iter().any(|row| row.is_err())),
            Err(_) => failures += 1,
        }
    }
    assert!(failures > 0);
    for content in [&b""[..], b"PAR1", b"PAR1\0\0\0\0PAR1", &whole[..whole.len() / 2]] {
        let source = files.source("damaged.parquet", content);
        assert!(matches!(read(&source, Kind::Items), Err(Error::Corrupt { .. })));
    }
    let stdin = Source { format: Some(Format::Parquet), ..Source::file("-") };
    assert!(read(&stdin, Kind::Items).err().unwrap().to_string().contains("standard input"));
}
