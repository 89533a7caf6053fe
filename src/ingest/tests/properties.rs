//! What holds for any content.

use proptest::prelude::*;

use super::*;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9]{1,8}", "[ -~]{1,12}", "\\PC{1,8}", Just("a\"b,c\r\nd".to_owned())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_a_csv_writer_writes_is_read_back(
        rows in prop::collection::vec((any_text(), any_text(), any_text(), -1e9..1e9f64, 0..2_000_000_000i64), 1..40),
        delimiter in prop::sample::select(vec![b',', b';', b'\t', b'|']),
        crlf in any::<bool>(),
        gzip in any::<bool>(),
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).terminator(terminator).from_writer(Vec::new());
        writer.write_record(["user", "item", "type", "value", "time"]).unwrap();
        let mut expected = Vec::new();
        for (user, item, kind, value, time) in &rows {
            writer.write_record([user, item, kind, &value.to_string(), &time.to_string()]).unwrap();
            expected.push(Event::new(user, item, kind).with_value(*value).at(at(*time)));
        }
        let written = writer.into_inner().unwrap();
        let files = Files::new();
        let source = files.source("a.csv", if gzip { gzipped(written) } else { written });
        let (records, rejected) = super::rows(&source, Kind::Events);
        prop_assert_eq!(rejected, []);
        let read: Vec<Event> = records.into_iter().filter_map(|(_, record)| match record {
            Record::Event(event) => Some(event),
            _ => None,
        }).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..600),
            "[{}\\[\\]\":,a-z0-9\n\r \t.-]{0,300}".prop_map(String::into_bytes),
            "user,item,time\n([a-z0-9\",\n\r]{0,10},){0,30}".prop_map(String::into_bytes),
            "(\\{\"(user|item|id|time|labels|vectors)\":([0-9a-z\"\\[\\]{}:,.]{0,12})\\}\n){0,20}".prop_map(String::into_bytes),
        ],
        gzip in any::<bool>(),
        header in any::<bool>(),
    ) {
        let files = Files::new();
        let content = if gzip { gzipped(&bytes) } else { bytes };
        let mut source = files.source("a", content);
        source.mapping.header = Some(header);
        for format in
            [Format::Csv, Format::Tsv, Format::Jsonl, Format::Parquet, Format::GorseJsonl, Format::Adjacency]
        {
            source.format = Some(format);
            for kind in [Kind::Items, Kind::Users, Kind::Events] {
                for row in read(&source, kind).into_iter().flatten() {
                    if let Ok(Row::Record { record: Record::Event(event), .. }) = row {
                        prop_assert!(event.validate().is_ok());
                    }
                }
            }
        }
    }
}
