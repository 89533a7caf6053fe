//! Files that are small and would become large: what they unpack to is bounded, and the rest of a text is read on.

use std::io::Read;

use flate2::read::GzEncoder as Packing;

use super::*;

/// A text of so many mebibytes that are never in memory together, packed.
fn packed(before: &'static str, mebibytes: u64, after: &'static str) -> Vec<u8> {
    let filling = std::io::repeat(b'a').take(mebibytes << 20);
    let mut packed = Vec::new();
    Packing::new(before.as_bytes().chain(filling).chain(after.as_bytes()), Compression::fast())
        .read_to_end(&mut packed)
        .unwrap();
    packed
}

#[test]
fn an_endless_line_of_json_is_one_bad_row() {
    let files = Files::new();
    let tail = "\"}\n{\"user\":\"u\",\"item\":\"i\",\"type\":\"view\",\"time\":1}\n";
    let source = files.source("a.jsonl", packed("{\"user\":\"", 200, tail));
    let (records, rejected) = rows(&source, Kind::Events);
    assert_eq!((records.len(), rejected.len(), rejected[0].line), (1, 1, 1));
    assert_eq!(rejected[0].reason, "is longer than 16 MiB");
    assert!(rejected[0].row.len() <= 64 << 10);
}

#[test]
fn an_endless_row_of_csv_is_one_bad_row() {
    let files = Files::new();
    let source = files.source("a.csv", packed("user,item,time\nu,\"", 200, "\",1\nu,i,1\n"));
    let (records, rejected) = rows(&source, Kind::Events);
    assert_eq!((records.len(), rejected.len()), (1, 1));
    assert!(rejected[0].reason.starts_with("is longer than 16 MiB"), "{}", rejected[0].reason);
    let commas = files.source("b.csv", [b"user,item,time\n".as_slice(), &b",".repeat(1 << 20), b"\nu,i,1\n"].concat());
    let (records, rejected) = rows(&commas, Kind::Events);
    assert_eq!((records.len(), rejected.len()), (1, 1));
}

#[test]
fn an_endless_header_is_an_error() {
    let files = Files::new();
    let source = files.source("a.csv", packed("user,", 64, ""));
    assert!(read(&source, Kind::Events).err().unwrap().to_string().contains("the first line of"));
}

#[test]
fn text_of_another_encoding_is_named_and_a_mark_of_utf8_is_passed_over() {
    let files = Files::new();
    let text = "user,item,time\nu,i,1\n";
    for (name, bytes) in [
        (
            "little.csv",
            [&[0xff, 0xfe][..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat(),
        ),
        ("big.csv", [&[0xfe, 0xff][..], &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>()].concat()),
    ] {
        let error = read(&files.source(name, bytes), Kind::Events).err().unwrap().to_string();
        assert!(error.contains("UTF-16") && error.contains("iconv"), "{error}");
    }
    assert_eq!(events(&files.source("mark.csv", format!("\u{feff}{text}"))).len(), 1);
}

#[cfg(feature = "parquet")]
mod parquet {
    use ::parquet::basic::{Compression as Codec, Encoding, GzipLevel, ZstdLevel};
    use ::parquet::data_type::{FloatType, Int64Type};
    use ::parquet::file::properties::{WriterProperties, WriterVersion};
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::ingest::vectors::{VectorColumns, read_vectors};

    /// A column of text that packs well, in one page.
    fn zeros(codec: Codec, version: WriterVersion) -> Vec<u8> {
        let schema = "message m { required int64 user_id; required int64 item_id; }";
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_writer_version(version)
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::PLAIN)
            .set_data_page_size_limit(64 << 20)
            .set_data_page_row_count_limit(usize::MAX)
            .build();
        let schema = std::sync::Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties.into()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        while let Some(mut column) = group.next_column().unwrap() {
            column.typed::<Int64Type>().write_batch(&vec![7; COUNT], None, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.into_inner().unwrap()
    }

    fn read_all(bytes: Vec<u8>) -> Result<usize> {
        let files = Files::new();
        let mut count = 0;
        for row in read(&files.source("a.parquet", bytes), Kind::Events)? {
            assert!(matches!(row?, Row::Record { .. }));
            count += 1;
        }
        Ok(count)
    }

    /// The same file, whose first page claims another size. What lies behind moves, where it takes more bytes to say.
    fn claiming(bytes: &[u8], other: u32) -> Vec<u8> {
        let written = |number: u32| {
            let (mut left, mut out) = (number << 1, Vec::new());
            while left >= 0x80 {
                out.push(left as u8 | 0x80);
                left >>= 7;
            }
            out.push(left as u8);
            out
        };
        let from = written(SIZE);
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        [&bytes[..at], &written(other), &bytes[at + from.len()..]].concat()
    }

    const COUNT: usize = 150_000;
    const SIZE: u32 = 8 * COUNT as u32;

    #[test]
    fn a_page_is_unpacked_when_it_is_what_it_claims_and_refused_when_it_is_more() {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for codec in [Codec::GZIP(GzipLevel::default()), Codec::ZSTD(ZstdLevel::default()), Codec::SNAPPY] {
                let bytes = zeros(codec, version);
                assert!(bytes.len() < 200_000, "{codec:?}");
                assert_eq!(read_all(bytes.clone()).unwrap(), COUNT, "{codec:?}");
                let error = read_all(claiming(&bytes, SIZE - 8)).unwrap_err().to_string();
                assert!(error.contains("damaged"), "{codec:?}: {error}");
                if matches!(codec, Codec::GZIP(_)) {
                    assert!(error.contains("unpacks to more than the"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_page_that_claims_a_gigabyte_is_refused_before_it_is_unpacked() {
        let bytes = zeros(Codec::SNAPPY, WriterVersion::PARQUET_1_0);
        let error = read_all(claiming(&bytes, i32::MAX as u32)).unwrap_err().to_string();
        assert!(error.contains("at most 268435456 are read"), "{error}");
    }

    /// Whether its values are in its pages or are only counted there.
    #[test]
    fn one_row_of_countless_values_is_refused() {
        let schema =
            "message m { required group embedding (LIST) { repeated group list { required float element; } } }";
        let schema = std::sync::Arc::new(parse_message_type(schema).unwrap());
        let count = 2 << 20;
        let repeated: Vec<i16> = (0..count).map(|place| i16::from(place > 0)).collect();
        for (is_counted, expected) in [(false, "rows of more than"), (true, "values in")] {
            let properties =
                WriterProperties::builder().set_compression(Codec::SNAPPY).set_dictionary_enabled(is_counted);
            let mut writer = SerializedFileWriter::new(Vec::new(), schema.clone(), properties.build().into()).unwrap();
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let (values, defined) = (vec![1.0; count], vec![1; count]);
            column.typed::<FloatType>().write_batch(&values, Some(&defined), Some(&repeated)).unwrap();
            column.close().unwrap();
            group.close().unwrap();
            let bytes = writer.into_inner().unwrap();
            assert!(bytes.len() < 1 << 20, "{}", bytes.len());
            let files = Files::new();
            let source = files.source("v.parquet", bytes);
            let columns = VectorColumns { vector: "embedding".into(), id: None };
            let error = read_vectors(&source.path, &columns).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_damaged_file_of_vectors_is_an_error_and_no_panic() {
        let whole = crate::ingest::tests::parquet_bytes(Codec::UNCOMPRESSED);
        let files = Files::new();
        let columns = VectorColumns { vector: "embedding".into(), id: Some("item_id".into()) };
        for place in (0..whole.len()).step_by(3) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x55;
            let _ = read_vectors(&files.source("v.parquet", damaged).path, &columns);
        }
    }
}
