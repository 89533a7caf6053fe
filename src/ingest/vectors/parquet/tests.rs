//! Files as pyarrow and others write them: optional lists of optional values, in several row groups.

use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use super::*;

const SCHEMA: &str = "message m {
    optional binary name (UTF8);
    required int64 number;
    optional group embedding (LIST) { repeated group list { optional float element; } }
    optional group wide (LIST) { repeated group list { required double element; } }
}";

type Row<'a> = (Option<&'a str>, i64, Option<&'a [Option<f32>]>);

/// Writes the rows, `group` of them in a row group; `wide` repeats `embedding` without its missing values.
fn file(directory: &TempDir, rows: &[Row<'_>], group: usize) -> std::path::PathBuf {
    let path = directory.path().join("v.parquet");
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::default()).unwrap();
    for rows in rows.chunks(group) {
        let mut group = writer.next_row_group().unwrap();
        let names: Vec<ByteArray> = rows.iter().filter_map(|row| row.0.map(ByteArray::from)).collect();
        let named: Vec<i16> = rows.iter().map(|row| i16::from(row.0.is_some())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&names, Some(&named), None).unwrap();
        column.close().unwrap();
        let numbers: Vec<i64> = rows.iter().map(|row| row.1).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap();
        column.close().unwrap();

        let (mut values, mut defs, mut reps) = (Vec::new(), Vec::new(), Vec::new());
        for (_, _, list) in rows {
            match list {
                None => (defs.push(0), reps.push(0)),
                Some([]) => (defs.push(1), reps.push(0)),
                Some(list) => {
                    for (at, value) in list.iter().enumerate() {
                        reps.push(i16::from(at > 0));
                        defs.push(if value.is_some() { 3 } else { 2 });
                        values.extend(value);
                    }
                    ((), ())
                }
            };
        }
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<FloatType>().write_batch(&values, Some(&defs), Some(&reps)).unwrap();
        column.close().unwrap();
        let doubles: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        let defs: Vec<i16> = defs.iter().map(|def| (*def).min(2)).collect();
        let doubles: Vec<f64> = match defs.iter().filter(|def| **def == 2).count().checked_sub(doubles.len()) {
            Some(missing) => doubles.into_iter().chain(std::iter::repeat_n(0.0, missing)).collect(),
            None => doubles,
        };
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&doubles, Some(&defs), Some(&reps)).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    path
}

fn columns(vector: &str, id: Option<&str>) -> VectorColumns {
    VectorColumns { vector: vector.into(), id: id.map(Into::into) }
}

#[test]
fn vectors_and_ids_come_in_the_order_of_the_rows() {
    let directory = TempDir::new().unwrap();
    let lists: Vec<[Option<f32>; 2]> = (0..3000).map(|row| [Some(row as f32), Some(-0.5)]).collect();
    let names: Vec<String> = (0..3000).map(|row| format!("item {row}")).collect();
    let rows: Vec<Row<'_>> =
        (0..3000).map(|row| (Some(names[row].as_str()), row as i64 * 2, Some(&lists[row][..]))).collect();
    let path = file(&directory, &rows, 1300);
    for vector in ["embedding", "wide"] {
        let read = read(&path, &columns(vector, Some("name"))).unwrap();
        assert_eq!((read.rows.rows(), read.rows.dim()), (3000, 2));
        assert!((0..3000).all(|row| read.rows.row(row) == [row as f32, -0.5]));
        assert_eq!(read.ids.unwrap(), names);
    }
    assert_eq!(read(&path, &columns("wide", Some("number"))).unwrap().ids.unwrap()[2999], "5998");
    assert!(read(&path, &columns("wide", None)).unwrap().ids.is_none());
}

#[test]
fn a_bad_row_is_named() {
    let directory = TempDir::new().unwrap();
    let good = [Some(1.0), Some(2.0)];
    let refused = |bad: Row<'_>, reason: &str| {
        let path = file(&directory, &[(Some("a"), 1, Some(&good)), bad], 10);
        let error = read(&path, &columns("embedding", Some("name"))).unwrap_err().to_string();
        assert!(error.ends_with(&format!("v.parquet:2: {reason}")), "{error}");
    };
    refused((Some("b"), 1, Some(&[Some(1.0)])), "embedding: has 1 values, but the rows before have 2");
    refused((Some("b"), 1, Some(&[Some(1.0), None])), "embedding: is empty or has a missing value");
    refused((Some("b"), 1, Some(&[])), "embedding: is empty or has a missing value");
    refused((Some("b"), 1, None), "embedding: is empty or has a missing value");
    refused((Some("b"), 1, Some(&[Some(1.0), Some(f32::NAN)])), "value 1: is NaN, expected a finite 32-bit number");
    refused((None, 1, Some(&good)), "name: is missing or not text");
}

#[test]
fn a_column_that_does_not_fit_is_named_with_what_there_is() {
    let directory = TempDir::new().unwrap();
    let path = file(&directory, &[(Some("a"), 1, Some(&[Some(1.0)]))], 10);
    let error = |vector, id| read(&path, &columns(vector, id)).unwrap_err().to_string();
    assert!(error("vec", None).ends_with("has no column \"vec\"; it has name, number, embedding, wide"));
    assert!(error("number", None).ends_with("column \"number\" is not a list of float or double"));
    assert!(error("wide", Some("embedding")).ends_with("column \"embedding\" is neither text nor whole numbers"));
}

#[test]
fn a_file_without_rows_or_of_another_kind_is_an_error() {
    let directory = TempDir::new().unwrap();
    let path = file(&directory, &[], 10);
    assert!(matches!(read(&path, &columns("wide", None)), Err(Error::NoData { .. })));
    std::fs::write(&path, "PAR1 but nothing else, really PAR1").unwrap();
    assert!(read(&path, &columns("wide", None)).unwrap_err().to_string().contains("not readable as Parquet"));
}
