//! CSV and TSV.

use super::*;

#[test]
fn obvious_names_need_no_mapping() {
    let files = Files::new();
    let source = files.source("a.csv", "userId,movieId,rating,timestamp\nu1,i9,4.5,881250949\n");
    let expected = Event::new("u1", "i9", "rating").with_value(4.5).at(at(881_250_949));
    assert_eq!(events(&source), [expected]);
    let source = files.source("b.csv", "timestamp;type;Item ID;user-id;extra\n2026-11-24;click;i;u;x\n");
    let expected = Event::new("u", "i", "click").at("2026-11-24".parse().unwrap());
    assert_eq!(events(&source), [expected]);
}

#[test]
fn files_of_recbole_need_no_mapping() {
    let files = Files::new();
    let inter = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n";
    let source = files.source("ml.inter", inter);
    assert_eq!(events(&source), [Event::new("196", "242", "rating").with_value(3.0).at(at(881_250_949))]);
    let item = "item_id:token\trelease_year:token\tgenre:token_seq\tprice:float\n1\t1995\tComedy War\t2.5\n";
    let item = items(&files.source("ml.item", item)).remove(0);
    assert_eq!((item.id.as_str(), item.categories.as_slice()), ("1", ["Comedy", "War"].map(String::from).as_slice()));
    assert_eq!(item.attributes["release_year"], text("1995"));
    assert_eq!(item.attributes["price"], Value::Number(2.5));
}

#[test]
fn a_mapping_names_columns_types_lists_and_vectors() {
    let files = Files::new();
    let source = files.source(
        "a.csv",
        "sku,what,tags,y,e,secret,out\nA1,\"Tea, green\",hot/ drink/,1999,0.5 -1,x,yes\nA2,Cup,,unknown,,x,\n",
    );
    let source = mapped(
        source,
        r#"
        [items]
        id = "sku"
        hidden = "out"
        categories = { column = "tags", separator = "/" }
        attributes.name = "what"
        attributes.year = { column = "y", type = "number", null = ["unknown"] }
        attributes.shop = { constant = "north" }
        vectors.image = "e"
        rest = "ignore"
        "#,
    );
    let items = items(&source);
    assert_eq!(items[0].categories, ["hot", "drink"]);
    assert_eq!(items[0].attributes.keys().collect::<Vec<_>>(), ["name", "shop", "year"]);
    assert_eq!(items[0].attributes["name"], text("Tea, green"));
    assert_eq!(items[0].attributes["year"], Value::Number(1999.0));
    assert_eq!(items[0].vectors["image"], [0.5, -1.0]);
    assert!(items[0].hidden && !items[1].hidden);
    assert_eq!(items[1].attributes.keys().collect::<Vec<_>>(), ["name", "shop"]);
    assert!(items[1].vectors.is_empty() && items[1].categories.is_empty());
}

#[test]
fn a_file_without_a_header_has_given_or_numbered_columns() {
    let files = Files::new();
    let expected = [Event::new("u", "i", "rating").with_value(5.0).at(at(7))];
    let source = files.source("u.tsv", "u\ti\t5\t7\n");
    let given = mapped(source.clone(), "[events]\ncolumns = [\"user\", \"item\", \"rating\", \"time\"]\n");
    assert_eq!(events(&given), expected);
    let numbered = mapped(
        source,
        "header = false\n[events]\nuser = \"1\"\nitem = \"2\"\nvalue = \"3\"\ntime = \"4\"\ntype = {constant = \"rating\"}\n",
    );
    assert_eq!(events(&numbered), expected);
}

#[test]
fn the_rest_of_the_columns_become_attributes_of_the_type_that_they_have() {
    let files = Files::new();
    let source = files.source(
        "a.csv",
        ",id,price,zip,in stock,ean,title\n0,a,1.5,01234,true,8901234567890123,1984\n1,b,,T8H,false,4006381333931000,Emma\n",
    );
    let items = items(&source);
    let attributes = &items[0].attributes;
    assert_eq!(attributes["price"], Value::Number(1.5));
    assert_eq!(attributes["zip"], text("01234"));
    assert_eq!(attributes["in stock"], Value::Bool(true));
    assert_eq!(attributes["ean"], text("8901234567890123"));
    assert_eq!(attributes["title"], text("1984"));
    assert_eq!(attributes.len(), 5, "a column without a name is no attribute");
    assert!(!items[1].attributes.contains_key("price"));
}

#[test]
fn events_keep_other_columns_only_when_told() {
    let files = Files::new();
    let source = files.source("a.csv", "user,item,device\nu,i,ios\n");
    assert!(events(&source)[0].context.is_empty());
    assert_eq!(read(&source, Kind::Events).unwrap().ignored(), ["device"]);
    let source = mapped(source, "[events]\nrest = \"attributes\"\n");
    assert_eq!(events(&source)[0].context["device"], text("ios"));
}

#[test]
fn a_byte_order_mark_crlf_and_gzip_change_nothing() {
    let files = Files::new();
    let plain = "user,item\nu1,i1\nu2,i2\n";
    let expected = events(&files.source("a.csv", plain));
    assert_eq!(expected.len(), 2);
    let crlf = plain.replace('\n', "\r\n");
    assert_eq!(events(&files.source("b.csv", format!("\u{feff}{plain}"))), expected);
    assert_eq!(events(&files.source("c.csv", &crlf)), expected);
    assert_eq!(events(&files.source("d.csv.gz", gzipped(plain))), expected);
    assert_eq!(events(&files.source("e.csv", gzipped(format!("\u{feff}{crlf}")))), expected);
    let both = [gzipped("user,item\nu1,i1\n"), gzipped("u2,i2\n")].concat();
    assert_eq!(events(&files.source("f.csv.gz", both)), expected, "gzip members one behind the other");
}

#[test]
fn an_empty_file_and_a_lone_header_have_no_rows() {
    let files = Files::new();
    for (name, content) in [("a.csv", ""), ("b.csv", "user,item\n"), ("c.jsonl", ""), ("d.jsonl", "\n \n")] {
        assert_eq!(events(&files.source(name, content)), [], "{name}");
    }
}

#[test]
fn a_missing_column_is_an_error_that_lists_those_that_are_there() {
    let files = Files::new();
    let source = files.source("a.csv", "person,item,when\nu,i,1\n");
    let error = read(&source, Kind::Events).err().unwrap().to_string();
    assert_eq!(error, "events.user: no column is called so; the columns are person, item, when; map one");
    let source = mapped(source, "[events]\nuser = \"persn\"\n");
    let error = read(&source, Kind::Events).err().unwrap().to_string();
    assert_eq!(error, "events.user: there is no column \"persn\"; the columns are person, item, when");
}

#[test]
fn a_header_with_a_name_twice_is_refused() {
    let files = Files::new();
    let error = read(&files.source("a.csv", "user,item,user\n"), Kind::Events).err().unwrap().to_string();
    assert!(error.starts_with("header: columns 1 and 3 are both called \"user\""), "{error}");
}

#[test]
fn bad_rows_are_told_with_line_field_and_reason_and_the_rest_is_read() {
    let files = Files::new();
    let mut content =
        b"user,item,rating,timestamp\r\nu1,i1,5,1\r\n\r\nu2,\"i\n2\",x,1\r\nu3,i3\r\nu4,,1,1\r\n".to_vec();
    content.extend_from_slice(
        b"u5,i\xff5,1,1\r\nu6,i6,NaN,1\r\nu7,i7,inf,1\r\nu8,i8,\"4,5\",1\r\nu9,i9,1,soon\r\nu10,i10,,\r\n",
    );
    let (records, rejected) = rows(&files.source("a.csv", content), Kind::Events);
    assert_eq!(records.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 13]);
    let told: Vec<(u64, &str, &str)> =
        rejected.iter().map(|bad| (bad.line, bad.field.as_str(), bad.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            (4, "rating", "is \"x\", expected a number"),
            (6, "row", "has 2 fields, expected 4"),
            (7, "item", "is missing"),
            (8, "item", "is not valid UTF-8"),
            (9, "rating", "is NaN, expected a finite number"),
            (10, "rating", "is inf, expected a finite number"),
            (11, "rating", "is \"4,5\", expected a number (use --decimal-comma)"),
            (12, "timestamp", "is \"soon\", expected RFC 3339 like 2026-11-24T08:30:00Z"),
        ]
    );
    assert_eq!(rejected[0].row, "u2,\"i\n2\",x,1");
    assert_eq!(rejected[1].row, "u3,i3");
}

#[test]
fn a_row_of_endless_length_is_rejected_and_reading_goes_on() {
    let files = Files::new();
    let long = "x".repeat(MAX_ROW_BYTES + 10);
    let many = ",".repeat((1 << 16) + 10);
    let source = files.source("a.csv", format!("user,item\nu,{long}\nu,i\n{many}\nu,j\n"));
    let (records, rejected) = rows(&source, Kind::Events);
    assert_eq!(records.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(rejected.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 4]);
    assert!(rejected[0].reason.starts_with("is longer than 16 MiB"), "{}", rejected[0].reason);
    assert!(rejected[0].row.len() <= 300 << 10);
    let source = files.source("b.csv", format!("user,item\nu,\"{long}\n"));
    assert!(rows(&source, Kind::Events).1[0].reason.contains("quote"));
}

#[test]
fn a_decimal_comma_is_read_when_told() {
    let files = Files::new();
    let source = files.source("a.csv", "id;price\na;12,5\n");
    assert_eq!(items(&source)[0].attributes["price"], text("12,5"));
    let source = mapped(source, "decimal_comma = true\n");
    assert_eq!(items(&source)[0].attributes["price"], Value::Number(12.5));
}

#[test]
fn what_is_no_text_is_told_by_its_first_bytes() {
    let files = Files::new();
    for (content, word) in [(&b"\xff\xfeu\0"[..], "UTF-16"), (b"PK\x03\x04zip", "zip"), (b"PAR1", "Parquet")] {
        let error = read(&files.source("a.csv", content), Kind::Events).err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
    let error = read(&Source::file(files.0.path()), Kind::Events).err().unwrap().to_string();
    assert!(error.contains("--format"), "{error}");
    let folder = Source { format: Some(Format::Csv), ..Source::file(files.0.path()) };
    assert!(read(&folder, Kind::Events).err().unwrap().to_string().contains("is a directory"));
    assert!(matches!(read(&Source::file("nowhere.csv"), Kind::Events), Err(Error::Io { .. })));
}

#[test]
fn vectors_of_one_space_have_one_length() {
    let files = Files::new();
    let source = files.source("a.csv", "id,e\na,1 2 3\nb,1 2\n");
    let (records, rejected) = rows(&mapped(source, "[items]\nvectors.image = \"e\"\n"), Kind::Items);
    assert_eq!(records.len(), 1);
    assert_eq!(rejected[0].field, "vectors.image");
}
