//! The features that the data suggest, where nobody has declared any: activity of the user, popularity and trend of the
//! item for each frequent event type, rates between types, dwell and ratings where there are some, recency, the pair, the
//! session, affinities and one-hot columns of categorical attributes, numbers as they are and against the user's habit,
//! titles and texts, the device and other circumstances, and the hour.

use super::survey::{KindSeen, Survey};
use crate::config::{FeatureDefinition, FeatureKind as Kind, FeatureOf as Of};
use crate::record::Span;

/// Event types with features of their own.
const MOST_KINDS: usize = 4;
/// Attributes of one sort with features of their own.
const MOST_ATTRIBUTES: usize = 8;
/// Values of a one-hot feature.
const MOST_VALUES: usize = 20;

/// Names and definitions.
pub fn definitions(survey: &Survey, sources: &[&str]) -> Vec<(String, FeatureDefinition)> {
    let mut all = Vec::new();
    let mut add = |name: String, definition: FeatureDefinition| all.push((name, definition));
    let of = |kind, of| FeatureDefinition { of: Some(of), ..FeatureDefinition::new(kind) };
    let day = Span::days(1);
    for (side, word) in [(Of::User, "user"), (Of::Item, "item")] {
        add(format!("{word}.events"), of(Kind::Count, side));
        add(
            format!("{word}.events_1h"),
            FeatureDefinition { window: Some(Span::seconds(3600)), ..of(Kind::Count, side) },
        );
        for days in [1, 7, 30] {
            let definition = FeatureDefinition { window: Some(Span::days(days)), ..of(Kind::Count, side) };
            add(format!("{word}.events_{days}d"), definition);
        }
        add(format!("{word}.recency"), of(Kind::Recency, side));
        add(
            format!("{word}.trend"),
            FeatureDefinition { window: Some(day), against: Some(Span::days(30)), ..of(Kind::Trend, side) },
        );
        add(
            format!("{word}.decayed"),
            FeatureDefinition { half_life: Some(Span::days(14)), ..of(Kind::Decayed, side) },
        );
        if survey.kinds.values().any(|seen| seen.dwells > 0) {
            add(format!("{word}.dwell"), of(Kind::Dwell, side));
        }
        // A mean of ratings and prices together is neither.
        let valued: Vec<&String> =
            survey.kinds.iter().filter(|(_, seen)| seen.values > 0).map(|(kind, _)| kind).collect();
        match &valued[..] {
            [] => {}
            [_] => add(format!("{word}.value"), of(Kind::Value, side)),
            several => several.iter().take(MOST_KINDS).for_each(|kind| {
                let types = vec![(*kind).clone()];
                add(format!("{word}.{kind}_value"), FeatureDefinition { types, ..of(Kind::Value, side) });
            }),
        }
    }
    let mut kinds: Vec<(&String, &KindSeen)> = survey.kinds.iter().collect();
    kinds.sort_by(|a, b| b.1.events.cmp(&a.1.events).then(a.0.cmp(b.0)));
    kinds.truncate(MOST_KINDS);
    if let [(most, _), others @ ..] = &kinds[..] {
        for (kind, _) in others {
            for (side, word) in [(Of::User, "user"), (Of::Item, "item")] {
                let types = vec![(*kind).clone()];
                let rate =
                    FeatureDefinition { types: types.clone(), per: vec![(*most).clone()], ..of(Kind::Rate, side) };
                add(format!("{word}.{kind}_rate"), rate);
                let decayed = FeatureDefinition { types, half_life: Some(Span::days(14)), ..of(Kind::Decayed, side) };
                add(format!("{word}.{kind}_decayed"), decayed);
            }
        }
    }
    add("pair.events".into(), of(Kind::Count, Of::Pair));
    add("pair.recency".into(), of(Kind::Recency, Of::Pair));
    add("session.events".into(), of(Kind::Count, Of::Session));
    add("request.hour".into(), FeatureDefinition::new(Kind::Hour));
    add("request.weekday".into(), FeatureDefinition::new(Kind::Weekday));
    if survey.published > 0 {
        add("item.age".into(), FeatureDefinition::new(Kind::Age));
    }
    let with = |kind, side: Option<Of>, attribute: &str| FeatureDefinition {
        of: side,
        attribute: Some(attribute.to_owned()),
        ..FeatureDefinition::new(kind)
    };
    let of_items = || survey.items.attributes.iter();
    for (name, _) in of_items().filter(|(_, seen)| seen.is_number()).take(MOST_ATTRIBUTES) {
        add(format!("item.{name}"), with(Kind::Number, Some(Of::Item), name));
        add(format!("pair.{name}_habit"), with(Kind::Habit, None, name));
    }
    for (name, _) in of_items().filter(|(_, seen)| seen.is_categorical()).take(MOST_ATTRIBUTES) {
        let affinity = FeatureDefinition { half_life: Some(Span::days(30)), ..with(Kind::Affinity, None, name) };
        add(format!("pair.{name}_affinity"), affinity);
        let one_hot = FeatureDefinition { size: Some(MOST_VALUES), ..with(Kind::OneHot, Some(Of::Item), name) };
        add(format!("item.{name}"), one_hot);
    }
    for (name, _) in of_items().filter(|(_, seen)| seen.is_text()).take(2) {
        add(format!("item.{name}_text"), with(Kind::Text, None, name));
    }
    let of_users = || survey.users.attributes.iter();
    for (name, _) in of_users().filter(|(_, seen)| seen.is_number()).take(MOST_ATTRIBUTES) {
        add(format!("user.{name}"), with(Kind::Number, Some(Of::User), name));
    }
    for (name, _) in of_users().filter(|(_, seen)| seen.is_categorical()).take(MOST_ATTRIBUTES) {
        let one_hot = FeatureDefinition { size: Some(MOST_VALUES), ..with(Kind::OneHot, Some(Of::User), name) };
        add(format!("user.{name}"), one_hot);
    }
    let of_contexts = || survey.contexts.attributes.iter();
    for (name, _) in of_contexts().filter(|(_, seen)| seen.is_number()).take(MOST_ATTRIBUTES) {
        add(format!("request.{name}"), with(Kind::Number, Some(Of::Context), name));
    }
    for (name, _) in of_contexts().filter(|(_, seen)| seen.is_categorical()).take(MOST_ATTRIBUTES) {
        let one_hot = FeatureDefinition { size: Some(MOST_VALUES), ..with(Kind::OneHot, Some(Of::Context), name) };
        add(format!("request.{name}"), one_hot);
    }
    for source in sources {
        let score = FeatureDefinition { source: Some((*source).to_owned()), ..FeatureDefinition::new(Kind::Score) };
        add(format!("score.{source}"), score);
    }
    all
}
