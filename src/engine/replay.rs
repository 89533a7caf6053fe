//! What another policy would have earned: logged answers are asked again as the policy would, each with what its user had
//! done by then, and both lists meet in off-policy estimates.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shown::Answered;
use super::{Engine, Live};
use crate::error::{Error, Result};
use crate::experiment::{LoggedAnswer, LoggedItem, OffPolicy, off_policy};
use crate::recommend::{self, Context};
use crate::record::{Answer, Exposure, Query, Timestamp, Variant};
use crate::store::LoggedOutcome;
use xxhash_rust::xxh3::xxh3_64;

/// Answers are this many at most, unless the options say otherwise.
const ANSWERS: usize = 10_000;
/// An item's click-through is drawn to that of all items as by so many shows.
const SHRINKAGE: f64 = 20.0;
const CONFIDENCE: f64 = 0.95;

/// What is replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayOptions {
    /// The policy in question: a scenario, a snapshot, settings of the question.
    pub policy: Variant,
    /// Only answers since then; all that are kept if absent.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Event types that are a reward of 1.
    #[serde(default = "clicks")]
    pub types: Vec<String>,
    /// At most so many answers, taken at even distances.
    #[serde(default = "answers")]
    pub limit: usize,
}

fn clicks() -> Vec<String> {
    vec!["click".into()]
}
fn answers() -> usize {
    ANSWERS
}

impl ReplayOptions {
    /// The clicks that a policy would have earned on what is kept.
    pub fn of(policy: Variant) -> Self {
        Self { policy, from: None, types: clicks(), limit: ANSWERS }
    }
}

/// Shows and rewards of an item, by half of the users.
#[derive(Clone, Copy, Default)]
struct Earned {
    shows: [f64; 2],
    rewards: [f64; 2],
}

impl Engine {
    /// What would this policy have earned? Each logged answer of a known user is asked again as of its moment: what the user
    /// did until then, when, and what they had been shown; with the filter and whatever else was asked. Snapshot, catalogue and
    /// counters of items are those of today, which may know what came later. Later pages are left out: what was on those before them
    /// belongs to the log's policy. Errors: [`Error::NoData`] where
    /// nothing was kept; [`Error::Invalid`]; [`Error::NotFound`] for an unknown snapshot.
    pub fn replay(&self, options: &ReplayOptions) -> Result<OffPolicy> {
        let policy = &options.policy;
        policy.apply(&Query::for_user("u")).map_err(|error| error.within("policy"))?;
        self.apart(|| self.replay_all(options))
    }

    fn replay_all(&self, options: &ReplayOptions) -> Result<OffPolicy> {
        let policy = &options.policy;
        let live = match policy.snapshot {
            Some(id) => Some(self.live_of(id).map_or_else(|| self.load_beside(id), Ok)?),
            None => self.inner.live.load_full(),
        };
        let _beside = policy.snapshot.map(|_| Beside(self));
        let from = options.from.unwrap_or(Timestamp::MIN);
        let counts = |event: &LoggedOutcome<'_>| options.types.iter().any(|counted| counted == event.kind);
        // Twice, so that only those that are replayed are in memory.
        let (mut logged, mut earned) = (0, FxHashMap::default());
        self.for_each_shown(from, Timestamp::MAX, &counts, &mut |exposure, rewards| {
            logged += usize::from(exposure.before == 0);
            earn(&mut earned, &exposure, &rewards);
            Ok(())
        })?;
        let stride = usize::div_ceil(logged, options.limit.max(1)).max(1);
        let (mut number, mut kept) = (0, Vec::new());
        self.for_each_shown(from, Timestamp::MAX, &counts, &mut |exposure, rewards| {
            if exposure.before == 0 {
                if number % stride == 0 {
                    kept.push((exposure, rewards));
                }
                number += 1;
            }
            Ok(())
        })?;
        let replayed = kept.par_iter().map(|(exposure, rewards)| {
            let answer = self.replayed(exposure, rewards, policy, live.as_deref(), &earned)?;
            Ok((exposure.user.as_deref().unwrap_or_default(), answer))
        });
        let mut users: FxHashMap<&str, Vec<LoggedAnswer>> = FxHashMap::default();
        for (user, answer) in replayed.collect::<Result<Vec<_>>>()? {
            users.entry(user).or_default().push(answer);
        }
        let mut users: Vec<(&str, Vec<LoggedAnswer>)> = users.into_iter().collect();
        users.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let users: Vec<Vec<LoggedAnswer>> = users.into_iter().map(|(_, answers)| answers).collect();
        let nothing = || {
            Error::no_data(
                "answers of fewer than two users are kept",
                "serve with exposures.enabled, or ask for a longer time",
            )
        };
        off_policy(&users, CONFIDENCE).ok_or_else(nothing)
    }

    fn replayed(
        &self,
        exposure: &Exposure,
        rewards: &FxHashSet<u32>,
        policy: &Variant,
        live: Option<&Live>,
        earned: &FxHashMap<String, Earned>,
    ) -> Result<LoggedAnswer> {
        let user = exposure.user.as_deref().unwrap_or_default();
        let other = 1 - half(user);
        let query = Query {
            user: exposure.user.clone(),
            // One that is gone since says nothing any more.
            scenario: exposure.scenario.clone().filter(|name| self.scenario(name).is_ok()),
            ..match &exposure.question {
                Some(question) => (**question).clone(),
                None => Query::for_session(std::iter::empty::<String>()),
            }
            .limit(exposure.items.len())
        };
        let answer = self.answer_as_of(exposure.time, &policy.apply(&query)?, live)?;
        // What is drawn anew is a draw of its own: an item that is in the list counts 1, and in the mean its propensity.
        let target: FxHashMap<&str, f64> = answer.items.iter().map(|item| (item.item.as_str(), 1.0)).collect();
        let items = exposure.items.iter().enumerate().map(|(place, shown)| LoggedItem {
            reward: f64::from(u8::from(rewards.contains(&(place as u32)))),
            logged: f64::from(shown.propensity),
            target: target.get(shown.item.as_str()).copied().unwrap_or(0.0),
            expected: expected(earned, &shown.item, other),
        });
        Ok(LoggedAnswer {
            items: items.collect(),
            expected: target.iter().map(|(item, share)| share * expected(earned, item, other)).sum(),
            target_items: target.values().sum(),
        })
    }

    /// The answer by what was known of its user just before a moment.
    fn answer_as_of(&self, moment: Timestamp, query: &Query, by: Option<&Live>) -> Result<Answer> {
        let shown = Answered { until: Some(moment), exposures: true, ..self.answered() };
        let plan = self.plan_by(query, &shown, moment)?;
        self.ask_of(by, plan.filters(), |context| {
            // No stored vector is that of the moment.
            let context = Context { now: moment, known_until: Some(moment), is_stale: &|_| true, ..*context };
            recommend::recommend(&context, &plan)
        })
    }
}

/// Lets go of the policy's snapshot, however the replay ends.
struct Beside<'e>(&'e Engine);

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.forget_beside() {
            tracing::warn!(%error, "a snapshot that was replayed stays loaded until an experiment changes");
        }
    }
}

/// Which half of the users one belongs to: the model of rewards for one half is learned from the other, so that nobody's
/// clicks foretell themselves.
fn half(user: &str) -> usize {
    (xxh3_64(user.as_bytes()) & 1) as usize
}

/// Adds what an answer earned to the shows and rewards of its items.
fn earn(earned: &mut FxHashMap<String, Earned>, exposure: &Exposure, rewards: &FxHashSet<u32>) {
    let half = half(exposure.user.as_deref().unwrap_or_default());
    for (place, shown) in exposure.items.iter().enumerate() {
        let reward = f64::from(u8::from(rewards.contains(&(place as u32))));
        // The empty name is that of all items together: no item has it.
        for name in [shown.item.as_str(), ""] {
            let of = earned.entry(name.to_owned()).or_default();
            if let (Some(shows), Some(sum)) = (of.shows.get_mut(half), of.rewards.get_mut(half)) {
                *shows += 1.0;
                *sum += reward;
            }
        }
    }
}

/// The click-through of an item among one half of the users, drawn to that of all items.
fn expected(earned: &FxHashMap<String, Earned>, item: &str, half: usize) -> f64 {
    let of = |name: &str| {
        let earned = earned.get(name).copied().unwrap_or_default();
        let at = |values: [f64; 2]| values.get(half).copied().unwrap_or(0.0);
        (at(earned.shows), at(earned.rewards))
    };
    let (all_shows, all_rewards) = of("");
    let usual = if all_shows > 0.0 { all_rewards / all_shows } else { 0.0 };
    let (shows, rewards) = of(item);
    (rewards + SHRINKAGE * usual) / (shows + SHRINKAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::record::{Event, ExcludeSeen, Shown, Source, Span};

    fn day(day: u32) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000).unwrap().after(Span::days(day))
    }

    /// Ten items that are popular in the order of their numbers, and a scenario with this rule and nothing else.
    fn engine(dir: &std::path::Path, rule: &str) -> Engine {
        let engine = Engine::open(dir, Config::default()).unwrap();
        let likes = (0..10usize).flat_map(|item| (0..60 - 5 * item).map(move |user| (user, item)));
        let event = |(user, item)| {
            Event::new(format!("crowd{user}"), format!("i{item}"), "click").at(day(0).before(Span::days(1)))
        };
        engine.append_events(&likes.map(event).collect::<Vec<_>>()).unwrap();
        let scenario = format!(r#"{{"exclude_seen": false, "rules": [{rule}]}}"#);
        engine.put_scenario("ruled", serde_json::from_str(&scenario).unwrap(), None).unwrap();
        engine
    }

    /// Shows these items to two users.
    fn show(engine: &Engine, on: u32, items: [u32; 5]) {
        let exposures = ["u", "v"].map(|user| Exposure {
            recommendation_id: format!("{user}{on}"),
            time: day(on),
            user: Some(user.into()),
            scenario: Some("ruled".into()),
            snapshot: None,
            experiment: None,
            question: None,
            before: 0,
            items: items
                .map(|item| Shown {
                    item: format!("i{item}"),
                    score: 0.0,
                    rank: None,
                    source: Source::Popular,
                    propensity: 1.0,
                    team: None,
                })
                .into(),
        });
        engine.inner.store.put_exposures(&exposures).unwrap();
    }

    fn click(engine: &Engine, on: u32, item: u32) {
        let clicks = ["u", "v"].map(|user| Event::new(user, format!("i{item}"), "click").at(day(on)));
        engine.append_events(&clicks).unwrap();
    }

    fn support(engine: &Engine) -> f64 {
        engine.replay(&ReplayOptions::of(Variant::new("the same"))).unwrap().support
    }

    #[test]
    fn what_is_not_to_be_repeated_is_what_was_shown_by_then() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path(), r#"{"rule": "no_repeat", "within": "7d"}"#);
        show(&engine, 0, [0, 1, 2, 3, 4]);
        show(&engine, 3, [5, 6, 7, 8, 9]);
        show(&engine, 12, [0, 1, 2, 3, 4]);
        assert_eq!(support(&engine), 1.0);
        show(&engine, 13, [0, 1, 2, 3, 4]);
        assert_eq!(support(&engine), 0.75, "a repeat that the rule would not have had");
    }

    #[test]
    fn a_cap_counts_the_clicks_that_there_were_by_then() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path(), r#"{"rule": "frequency_cap", "shown": 1, "within": "7d"}"#);
        show(&engine, 0, [0, 1, 2, 3, 4]);
        click(&engine, 1, 0);
        show(&engine, 3, [0, 5, 6, 7, 8]);
        click(&engine, 5, 1);
        assert_eq!(support(&engine), 1.0);
    }

    #[test]
    fn seen_is_what_was_seen_within_the_window_of_then() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path(), r#"{"rule": "max_per", "key": "nothing", "limit": 9}"#);
        click(&engine, 0, 0);
        click(&engine, 4, 1);
        show(&engine, 5, [0, 2, 3, 4, 5]);
        click(&engine, 6, 2);
        let policy = |window: &str| {
            let seen: ExcludeSeen = serde_json::from_str(window).unwrap();
            let mut policy = Variant::new("windowed");
            policy.query.insert("exclude_seen".into(), serde_json::to_value(seen).unwrap());
            engine.replay(&ReplayOptions::of(policy)).unwrap().support
        };
        assert_eq!(policy(r#"{"window": "2d"}"#), 1.0);
        assert_eq!(policy(r#"{"window": "30d"}"#), 0.8);
        assert_eq!(policy(r#"{"types": ["purchase"], "window": "30d"}"#), 0.8);
    }
}
