//! Who takes part and what they are shown: two hashes of the user's id and nothing that is stored, so that a user is shown
//! the same variant on every machine and at every time. The layer's hash deals users into 10,000 slots; experiments of one
//! layer own different slots (Tang et al., KDD 2010). The experiment's own hash chooses the variant, independently of the
//! slot, so that a ramp-up, which adds slots, moves nobody.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::error::{Error, Result};
use crate::record::{Experiment, ExperimentDesign, Item, PARTS, Slots, Timestamp, User, Variant};

/// The variant that a user is shown; `None` for those who do not take part. `profile` is asked only where the experiment is
/// for some users alone.
pub fn assign<'e>(
    experiment: &'e Experiment,
    user: &str,
    now: Timestamp,
    profile: &dyn Fn() -> Result<Option<User>>,
) -> Result<Option<&'e Variant>> {
    let design = &experiment.design;
    let Some(started) = experiment.started else { return Ok(None) };
    let place = place(&experiment.slots, part(layer_of(&experiment.id, design), user, PARTS));
    if place.is_none_or(|place| place >= design.traffic_at(started, now)) || !is_target(design, user, profile)? {
        return Ok(None);
    }
    Ok(variant(&experiment.id, design, user))
}

/// Whether an experiment is for this user, wherever the hash puts them.
pub fn is_target(design: &ExperimentDesign, user: &str, profile: &dyn Fn() -> Result<Option<User>>) -> Result<bool> {
    let Some(filter) = &design.target else { return Ok(true) };
    let known = profile()?.unwrap_or_else(|| User::new(user));
    // The filter language is that of items; of a user it sees id and attributes.
    Ok(filter.matches(&Item { id: known.id, attributes: known.attributes, ..Item::default() }))
}

/// The layer of an experiment: its own, unless it names one.
pub fn layer_of<'e>(id: &'e str, design: &'e ExperimentDesign) -> &'e str {
    design.layer.as_deref().unwrap_or(id)
}

fn variant<'e>(id: &str, design: &'e ExperimentDesign, user: &str) -> Option<&'e Variant> {
    let total = design.variants.iter().map(|variant| variant.weight).sum();
    let salt = design.salt.as_deref().unwrap_or(id);
    // Another text than a layer's name can be: the two hashes must be independent also where both have the same name.
    let mut left = part(&format!("variant\0{salt}"), user, total);
    design.variants.iter().find(|variant| match left.checked_sub(variant.weight) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    })
}

/// A number below `parts`, even over users.
fn part(salt: &str, user: &str, parts: u32) -> u32 {
    let hash = xxh3_64_with_seed(user.as_bytes(), xxh3_64(salt.as_bytes()));
    ((u128::from(hash) * u128::from(parts)) >> 64) as u32
}

/// Where a slot stands in the order in which slots join.
fn place(slots: &[Slots], slot: u32) -> Option<u32> {
    let mut before = 0;
    for range in slots {
        if (range.from..range.to).contains(&slot) {
            return Some(before + slot - range.from);
        }
        before += range.to - range.from;
    }
    None
}

/// The slots of an experiment that wants `wanted` of them: those it has, and free ones after them. Errors:
/// [`Error::Conflict`] when the layer has too few left.
pub fn allot<'e>(
    own: &'e [Slots],
    others: impl Iterator<Item = &'e Slots>,
    wanted: u32,
    layer: &str,
) -> Result<Vec<Slots>> {
    let mut taken: Vec<Slots> = others.chain(own).copied().collect();
    taken.sort_by_key(|range| range.from);
    let mut slots = own.to_vec();
    let mut missing = wanted.saturating_sub(own.iter().map(|range| range.to - range.from).sum());
    let mut from = 0;
    let end = Slots { from: PARTS, to: PARTS };
    let mut free = 0;
    for range in taken.iter().chain([&end]) {
        let gap = range.from.saturating_sub(from);
        let given = gap.min(missing);
        if given > 0 {
            slots.push(Slots { from, to: from + given });
            missing -= given;
        }
        free += gap;
        from = from.max(range.to);
    }
    match missing {
        0 => Ok(slots),
        _ => Err(Error::Conflict(format!(
            "layer \"{layer}\" has {free} of {PARTS} parts free, too few; take less traffic, stop another experiment of this \
             layer or name another layer"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{ExperimentState, RampStep, Span};

    fn experiment(id: &str, traffic: u32, weights: &[u32], slots: Vec<Slots>) -> Experiment {
        let variants = weights.iter().enumerate();
        let variants: Vec<Variant> =
            variants.map(|(n, weight)| Variant { weight: *weight, ..Variant::new(format!("v{n}")) }).collect();
        let mut design: ExperimentDesign =
            serde_json::from_value(serde_json::json!({"variants": variants, "layer": "l"})).unwrap();
        design.traffic = traffic;
        let started = Some(Timestamp::default());
        let state = ExperimentState::Running;
        let id = id.to_owned();
        let created = Timestamp::default();
        Experiment { id, version: 1, state, design, created, started, stopped: None, slots, decision: None }
    }

    fn shown(experiment: &Experiment, user: u32) -> Option<String> {
        shown_at(experiment, user, Timestamp::default())
    }

    fn shown_at(experiment: &Experiment, user: u32, now: Timestamp) -> Option<String> {
        assign(experiment, &format!("user-{user}"), now, &|| Ok(None)).unwrap().map(|variant| variant.name.clone())
    }

    #[test]
    fn users_come_in_the_shares_promised_and_slots_say_nothing_of_variants() {
        let slots = allot(&[], [].iter(), 5_000, "l").unwrap();
        let running = experiment("x", 5_000, &[3, 1], slots);
        let shown: Vec<_> = (0..40_000).filter_map(|user| shown(&running, user)).collect();
        let second = shown.iter().filter(|name| *name == "v1").count();
        // Four standard deviations each.
        assert!((shown.len() as f64 - 20_000.0).abs() < 400.0, "{}", shown.len());
        assert!((second as f64 - shown.len() as f64 / 4.0).abs() < 250.0, "{second}");
    }

    #[test]
    fn experiments_of_a_layer_share_no_user_and_a_full_layer_says_so() {
        let first = allot(&[], [].iter(), 6_000, "l").unwrap();
        let second = allot(&[], first.iter(), 4_000, "l").unwrap();
        let error = allot(&[], first.iter().chain(&second), 1, "l").unwrap_err().to_string();
        assert!(error.contains("0 of 10000"), "{error}");
        let (a, b) = (experiment("a", 6_000, &[1, 1], first), experiment("b", 4_000, &[1, 1], second));
        for user in 0..5_000 {
            let (a, b) = (shown(&a, user), shown(&b, user));
            assert!(a.is_some() != b.is_some(), "user {user}: {a:?} {b:?}");
        }
    }

    #[test]
    fn only_those_with_the_profile_take_part() {
        let mut running = experiment("x", PARTS, &[1, 1], allot(&[], [].iter(), PARTS, "l").unwrap());
        running.design.target =
            Some(serde_json::from_str(r#"{"must":[{"key":"country","match":{"value":"at"}}]}"#).unwrap());
        let of = |country: &str| {
            let mut user = User::new("u");
            user.attributes.insert("country".into(), country.into());
            assign(&running, "u", Timestamp::default(), &|| Ok(Some(user.clone()))).unwrap().is_some()
        };
        assert!(of("at") && !of("de"));
        assert_eq!(shown(&running, 1), None, "of whom nothing is known");
    }

    proptest! {
        #[test]
        fn growing_traffic_adds_users_and_moves_nobody(first in 1..5_000u32, more in 0..5_000u32, neighbour in 0..3_000u32) {
            let others = [Slots { from: 1_000, to: 1_000 + neighbour.min(10_000 - first - more) }];
            let small = allot(&[], others.iter(), first, "l").unwrap();
            let large = allot(&small, others.iter(), first + more, "l").unwrap();
            prop_assert_eq!(large.iter().map(|range| range.to - range.from).sum::<u32>(), first + more);
            prop_assert!(large.iter().all(|range| range.to <= others[0].from || range.from >= others[0].to));
            let (small, large) = (experiment("x", first, &[1, 2], small), experiment("x", first + more, &[1, 2], large));
            for user in 0..200 {
                let before = shown(&small, user);
                prop_assert!(before.is_none() || before == shown(&large, user));
            }
        }

        #[test]
        fn a_ramp_up_adds_users_and_moves_nobody(steps in proptest::collection::vec(1..3_000u32, 1..4)) {
            let mut running = experiment("x", PARTS, &[1, 1], allot(&[], [].iter(), PARTS, "l").unwrap());
            let mut traffic = 0;
            running.design.ramp = steps.iter().enumerate().map(|(day, step)| {
                traffic += step;
                RampStep { until: Span::days(day as u32 + 1), traffic }
            }).collect();
            for user in 0..200 {
                let days: Vec<_> = (0..6i64)
                    .map(|day| shown_at(&running, user, Timestamp::from_millis(day * 86_400_000).unwrap()))
                    .collect();
                prop_assert!(days.windows(2).all(|pair| pair[0].is_none() || pair[0] == pair[1]), "{:?}", days);
                prop_assert!(days[5].is_some());
            }
        }
    }
}
