use proptest::prelude::*;

use super::*;

fn film(categories: &[&str], title: &str, year: Option<f64>) -> Item {
    let mut item = Item::new("i");
    item.categories = categories.iter().map(|name| (*name).to_owned()).collect();
    item.attributes.insert("title".into(), title.into());
    item.attributes.extend(year.map(|year| ("year".into(), year.into())));
    item
}

fn learned(items: &[Item]) -> ProfileEncoder {
    ProfileEncoder::learn(items.iter().map(Profile::from), None, &ColdConfig { terms: 100, ..ColdConfig::default() })
}

#[test]
fn texts_are_projected_where_words_are_met_together_in_others() {
    let texts =
        ["red wine glass", "wine glass stem", "white wine stem", "steel bolt nut", "bolt nut washer", "steel washer"];
    let items: Vec<Item> = texts.iter().map(|text| film(&[], text, None)).collect();
    let config = ColdConfig { text_directions: 2, ..ColdConfig::default() };
    let encoder = ProfileEncoder::learn(items.iter().map(Profile::from), None, &config);
    assert!(encoder.is_sound());
    assert_eq!(encoder.columns(), 2, "no words");
    let of = |text: &str| encoder.encode((&film(&[], text, None)).into());
    let product = |a: &str, b: &str| {
        let (a, b) = (of(a), of(b));
        a.iter().flat_map(|a| b.iter().filter(|b| a.0 == b.0).map(|b| a.1 * b.1)).sum::<f32>()
    };
    // They have no word in common.
    assert!(product("red glass", "white stem") > 0.1);
    assert!(product("red glass", "steel bolt").abs() < 1e-3);
    assert_eq!(of("unheard of"), []);
}

/// 40 films of 20 directors; those of the first ten have ten times as much.
fn directed() -> (Vec<Item>, Vec<f32>) {
    let of = |number: usize| {
        let mut item = Item::new("i");
        item.attributes.insert("director".into(), format!("d{}", number / 2).into());
        item
    };
    ((0..40).map(of).collect(), (0..40).map(|number| if number < 20 { 10.0 } else { 1.0 }).collect())
}

#[test]
fn statistics_tell_a_rare_value_by_what_those_that_are_counted_have_with_it() {
    let (items, targets) = directed();
    let config = ColdConfig { terms: 0, statistics_prior: 1.0, ..ColdConfig::default() };
    let encoder = ProfileEncoder::learn(items.iter().map(Profile::from), Some(&targets), &config);
    assert!(encoder.is_sound() && encoder.has_statistics());
    assert_eq!(encoder.columns(), 1);
    let mean = targets.iter().sum::<f32>() / 40.0;
    let value = |entries: Vec<(u32, f32)>| entries.first().map_or(0.0, |(_, value)| *value);
    let new = value(encoder.encode((&items[0]).into()));
    assert!((new - (20.0 - 2.0 * mean) / 3.0).abs() < 1e-3, "by both, drawn to the mean");
    let odd = items.iter().zip(&targets).skip(1).step_by(2);
    let counted = encoder.recounted(odd.map(|(item, target)| (item.into(), *target)));
    assert!(counted.is_sound());
    assert!((value(counted.encode((&items[0]).into())) - (10.0 - mean) / 2.0).abs() < 1e-3, "by the other");
    let nobody = encoder.recounted(items.iter().zip(&targets).skip(2).map(|(item, target)| (item.into(), *target)));
    assert_eq!(value(nobody.encode((&items[0]).into())), 0.0);
    let mut other = Item::new("i");
    other.attributes.insert("director".into(), "unheard of".into());
    assert_eq!(value(encoder.encode((&other).into())), 0.0);
}

#[test]
fn what_is_alike_has_columns_in_common_and_what_is_missing_is_said() {
    let items = [
        film(&["war"], "The Long Day", Some(1950.0)),
        film(&["war", "drama"], "The Bridge", Some(1990.0)),
        film(&["comedy"], "A Day Out", None),
        film(&["comedy", "drama"], "Bridge Club", Some(1970.0)),
    ];
    let encoder = learned(&items);
    assert!(encoder.is_sound());
    let columns = |item: &Item| encoder.encode(item.into()).into_iter().map(|(column, _)| column).collect::<Vec<_>>();
    let common = |a: &Item, b: &Item| columns(a).into_iter().filter(|c| columns(b).contains(c)).count();
    assert!(
        common(&items[0], &film(&["war"], "", Some(1950.0))) > common(&items[2], &film(&["war"], "", Some(1950.0)))
    );
    // The absence of a year is a column of its own.
    let without = encoder.encode((&film(&[], "", None)).into());
    assert_eq!(without.len(), 1);
    assert!(columns(&items[2]).contains(&without[0].0) && !columns(&items[0]).contains(&without[0].0));
    // Words that nobody else has are no columns.
    assert_eq!(columns(&film(&[], "unheard words", None)), columns(&film(&[], "", None)));
}

#[test]
fn the_absence_of_a_text_a_list_and_a_vector_is_said_but_not_of_everything() {
    let with = |number: usize| {
        let mut item = Item::new("i");
        let is_full = number.is_multiple_of(2);
        item.attributes.insert("colour".into(), ["red", "blue"][number / 2 % 2].into());
        item.categories = if is_full { vec!["war".into()] } else { Vec::new() };
        item.attributes.extend(is_full.then(|| ("plot".into(), "long ago and far away".into())));
        item.vectors.extend(is_full.then(|| ("image".into(), vec![0.0, 0.0])));
        item
    };
    let items: Vec<Item> = (0..8).map(with).collect();
    let encoder = learned(&items);
    assert!(encoder.is_sound());
    let (full, empty) = (encoder.encode((&items[0]).into()), encoder.encode((&items[1]).into()));
    let only = empty.iter().filter(|(column, _)| full.iter().all(|(other, _)| other != column)).count();
    assert_eq!(only, 3, "{full:?} {empty:?}");
    assert_eq!(encoder.encode((&Item::new("nothing")).into()), []);
}

#[test]
fn a_number_is_between_its_neighbouring_knots() {
    let items: Vec<Item> = (0..50).map(|year| film(&[], "", Some(f64::from(year)))).collect();
    let encoder = learned(&items);
    for year in [-100.0, 0.0, 3.3, 17.0, 48.9, 49.0, 1000.0] {
        let entries = encoder.encode((&film(&[], "", Some(year))).into());
        assert!((sum(&entries) - 1.0).abs() < 1e-6 && entries.iter().all(|(_, share)| *share >= 0.0), "{entries:?}");
    }
}

#[test]
fn long_vectors_are_folded_into_few_columns() {
    let mut items: Vec<Item> = (0..5).map(|_| Item::new("i")).collect();
    for (place, item) in items.iter_mut().enumerate() {
        item.vectors.insert("image".into(), (0..600).map(|at| (at + place) as f32).collect());
    }
    let encoder = learned(&items);
    assert_eq!(encoder.columns(), MAX_VECTOR_COLUMNS);
    assert!(encoder.is_sound() && encoder.encode((&items[0]).into()).len() <= MAX_VECTOR_COLUMNS);
}

proptest! {
    #[test]
    fn an_encoding_stays_within_its_columns_and_survives_json(
        films in prop::collection::vec((prop::collection::vec("[a-d]{1}", 0..4), "[a-e ]{0,12}", prop::option::of(-1e12f64..1e12)), 1..12),
        other in ("[a-f ]{0,12}", -1e15f64..1e15),
    ) {
        let items: Vec<Item> = films.iter().map(|(categories, title, year)| {
            film(&categories.iter().map(String::as_str).collect::<Vec<_>>(), title, *year)
        }).collect();
        let config = ColdConfig { text_directions: 3, statistics_prior: 2.0, ..ColdConfig::default() };
        let targets: Vec<f32> = (0..items.len()).map(|place| place as f32).collect();
        let encoder = match items.len() % 2 {
            0 => learned(&items),
            _ => ProfileEncoder::learn(items.iter().map(Profile::from), Some(&targets), &config),
        };
        prop_assert!(encoder.is_sound());
        let read: ProfileEncoder = serde_json::from_str(&serde_json::to_string(&encoder).unwrap()).unwrap();
        for item in items.iter().chain([&film(&["a", "q"], &other.0, Some(other.1))]) {
            let entries = encoder.encode(item.into());
            prop_assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert!(entries.iter().all(|(column, value)| (*column as usize) < encoder.columns() && value.is_finite()));
            prop_assert_eq!(&entries, &read.encode(item.into()));
        }
    }
}
