//! What a fuzzer does to filters: what one means, item by item, is what set algebra over the terms of the items gives.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, LazyLock};

use roaring::RoaringBitmap;

use super::expression::{Expression, Leaf};
use super::matches::Matches;
use crate::record::{Filter, Item};
use crate::store::Terms;

/// Items that differ in what filters ask about.
const ITEMS: &str = r#"[
    {"id":"i1","categories":["shoes"],"time":1000,"attributes":{"brand":"ape","price":9.5,"sizes":[41,42],"none":[]}},
    {"id":"i2","categories":["shoes","hats"],"attributes":{"brand":"","price":-0.0,"sold":"2024-02-29T12:00:00+02:00"}},
    {"id":"i3","time":"2024-01-01","attributes":{"brand":["ape","bee"],"price":1e300,"days":["2020-01-01","soon"],"ok":true}},
    {"id":"i4","attributes":{"a\u0000":"a\u0000\u0000","brand":"a\u0000","price":"9.5"}},
    {"id":"i5"}
]"#;

/// A filter in JSON, and behind a line end one more item.
pub fn filters(bytes: &[u8]) {
    static KNOWN: LazyLock<Vec<Item>> = LazyLock::new(|| serde_json::from_str(ITEMS).unwrap());
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let Ok(filter) = serde_json::from_slice::<Filter>(parts.next().unwrap_or_default()) else { return };
    let printed = serde_json::to_string(&filter).unwrap();
    if filter.validate().is_err() {
        return;
    }
    assert_eq!(serde_json::from_str::<Filter>(&printed).unwrap(), filter, "{printed}");
    let mut items = KNOWN.clone();
    let given = parts.next().and_then(|item| serde_json::from_slice::<Item>(item).ok());
    items.extend(given.filter(|item| item.validate().is_ok()));
    let terms: Vec<Terms> = items.iter().map(Terms::of).collect();

    let of = |found: Vec<u32>| Matches::new(Arc::new(found.into_iter().collect::<RoaringBitmap>()), None);
    let all = of((0..items.len() as u32).collect());
    let select =
        |holds: &dyn Fn(usize) -> bool| of((0..items.len()).filter(|at| holds(*at)).map(|at| at as u32).collect());
    let expected = select(&|at| filter.matches(&items[at]));
    let found = Expression::of(Some(&filter), None).map_or(Ok(all.clone()), |expression| {
        expression.evaluate(&all, &mut |leaf| {
            Ok(match leaf {
                Leaf::Terms(range) => select(&|at| terms[at].meet(range)),
                Leaf::Ids(ids) => select(&|at| ids.contains(&items[at].id)),
            })
        })
    });
    assert_eq!(found.unwrap(), expected, "{printed}");
}

/// Inputs to begin with.
#[cfg(test)]
pub fn filter_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"must":[{"key":"brand","match":{"value":"ape"}},{"key":"price","range":{"gte":9.5,"lt":10}}]}"#,
        r#"{"should":[{"key":"sizes","match":{"any":[42,43]}},{"has_id":["i1","i5"]}],"must_not":[{"is_empty":{"key":"none"}}]}"#,
        r#"{"must":[{"key":"sold","range":{"gt":"2024-02-29T10:00:00Z","lte":"2024-03-01"}}]}"#,
        r#"{"must":[{"key":"brand","match":{"except":["bee",true,1]}},{"key":"sizes","values_count":{"gt":1,"lte":4294967295}}]}"#,
        r#"{"must":[{"must":[{"must_not":[{"key":"categories","match":{"value":"hats"}},{"key":"time","range":{"lt":1e4}}]}]}]}"#,
        "{\"must\":[{\"key\":\"x\",\"match\":{\"value\":\"\\u0000\"}}]}\n{\"id\":\"x\",\"attributes\":{\"x\":[\"\\u0000\",\"\"]}}",
        "{\"must\":[{\"key\":\"time\",\"range\":{\"gte\":-62135596800000}}]}\n{\"id\":\"x\",\"time\":\"0001-01-01\"}",
    ]
    .map(Vec::from)
    .into()
}
