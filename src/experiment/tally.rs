//! Exposures and outcomes become figures of users. An outcome is joined to the answer that it names, at the position that
//! it names, however late it comes, if it is of the user who was shown it; the same outcome (answer, position, type and the event's own id) counts once, however
//! often it is sent. An outcome that names no answer may be attributed to the last one that showed its item, within a
//! window. Everything is counted anew from exposures and events whenever a report is asked for: what is late, deleted or
//! merged meanwhile is then as it should be, and there is no second state to keep in step.

use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::course::{Course, Day, Sum};
use super::interleave::{Preferences, Team};
use super::moments::{Moments, UserFigure};
use crate::record::{ExperimentDesign, Exposure, ItemId, MetricDefinition, MetricKind, Span, Timestamp, UserId};

/// An event, as far as it may be an outcome.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub user: UserId,
    /// With which item.
    pub item: ItemId,
    /// What.
    pub kind: &'a str,
    /// What distinguishes it from others of the same.
    pub id: &'a str,
    /// Its number.
    pub value: Option<f64>,
    /// How long the user stayed, in milliseconds.
    pub dwell_ms: Option<u64>,
    /// The visit it belongs to.
    pub session: Option<&'a str>,
    /// The answer that it names.
    pub recommendation_id: Option<&'a str>,
    /// The position that it names.
    pub position: Option<u32>,
}

/// The span of an experiment, and how outcomes that name no answer are treated.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    /// When it began: events before tell what to expect of a user. By day ([`Tally::daily`]), when the first answer was given.
    pub started: Timestamp,
    /// When it ended, or now.
    pub until: Timestamp,
    /// An outcome that names no answer belongs to the last one that showed its item so long before; absent: to none.
    pub window: Option<Span>,
}

/// The users of an experiment.
pub struct Tally<'d> {
    period: Period,
    metrics: Vec<&'d MetricDefinition>,
    variants: FxHashMap<&'d str, usize>,
    interleave: bool,
    is_daily: bool,
    users: Vec<Participant>,
    by_name: FxHashMap<String, u32>,
    by_id: FxHashMap<UserId, u32>,
    answers: Vec<Answer>,
    by_recommendation: FxHashMap<String, u32>,
    /// Outcomes that have been counted, hashed with answer and position.
    counted: FxHashSet<u64>,
    sessions: FxHashSet<(u32, u64)>,
}

struct Participant {
    variant: usize,
    /// Shown more than one variant, after a merge of users: counted for none.
    crossed: bool,
    first: Timestamp,
    answers: Vec<u32>,
    /// In their order; all is one day where days are not told apart.
    days: Vec<Day>,
    /// What the user did before the start, by metric.
    before: Vec<f64>,
    credits: [u64; 2],
}

struct Answer {
    user: u32,
    time: Timestamp,
    items: Box<[(Option<ItemId>, Option<Team>)]>,
    /// Which metrics of click-through have been met, a bit each.
    met: u32,
}

impl<'d> Tally<'d> {
    /// Nobody yet. The metrics are those of the design, then its guardrails'.
    pub fn new(design: &'d ExperimentDesign, period: Period) -> Self {
        let variants = design.variants.iter().enumerate();
        Self {
            period,
            metrics: metrics(design),
            variants: variants.map(|(place, variant)| (variant.name.as_str(), place)).collect(),
            interleave: design.interleave,
            is_daily: false,
            users: Vec::new(),
            by_name: FxHashMap::default(),
            by_id: FxHashMap::default(),
            answers: Vec::new(),
            by_recommendation: FxHashMap::default(),
            counted: FxHashSet::default(),
            sessions: FxHashSet::default(),
        }
    }

    /// The same for an experiment that has not been: it begins with the first answer, and what users do is kept day by day.
    pub fn daily(design: &'d ExperimentDesign, period: Period) -> Self {
        Self { is_daily: true, ..Self::new(design, period) }
    }

    /// Adds an answer of this experiment, in the order of time. `user` and `items` are the dense ids, of those that are
    /// known.
    pub fn show(&mut self, exposure: &Exposure, user: Option<UserId>, items: &[Option<ItemId>]) {
        let Some(name) = &exposure.user else { return };
        let assigned = exposure.experiment.as_ref().and_then(|of| of.variant.as_deref());
        let variant = match assigned {
            Some(variant) => match self.variants.get(variant) {
                Some(place) => *place,
                None => return,
            },
            None if self.interleave => 0,
            None => return,
        };
        if self.is_daily && self.users.is_empty() {
            self.period.started = exposure.time;
        }
        let (day, metrics) = (self.day_of(exposure.time), self.metrics.len());
        let number = self.users.len() as u32;
        let number = *self.by_name.entry(name.clone()).or_insert(number);
        if number as usize == self.users.len() {
            self.users.push(Participant {
                variant,
                crossed: false,
                first: exposure.time,
                answers: Vec::new(),
                days: Vec::new(),
                before: vec![0.0; metrics],
                credits: [0; 2],
            });
        }
        let Some(participant) = self.users.get_mut(number as usize) else { return };
        participant.crossed |= participant.variant != variant;
        participant.answers.push(self.answers.len() as u32);
        if let Some(day) = participant.day(day, metrics) {
            day.answers += 1;
        }
        if let Some(id) = user {
            self.by_id.insert(id, number);
        }
        let team = |team: &Option<String>| match team.as_deref().and_then(|team| self.variants.get(team)) {
            Some(0) => Some(Team::First),
            Some(1) => Some(Team::Second),
            _ => None,
        };
        let shown = exposure.items.iter().enumerate();
        let items = shown.map(|(place, item)| (items.get(place).copied().flatten(), team(&item.team))).collect();
        self.by_recommendation.insert(exposure.recommendation_id.clone(), self.answers.len() as u32);
        self.answers.push(Answer { user: number, time: exposure.time, items, met: 0 });
    }

    /// When the experiment began.
    pub fn started(&self) -> Timestamp {
        self.period.started
    }

    fn day_of(&self, time: Timestamp) -> u32 {
        let passed = time.millis().saturating_sub(self.period.started.millis());
        if self.is_daily { u32::try_from(passed / Span::days(1).millis()).unwrap_or(0) } else { 0 }
    }

    /// Takes an event into account, after all answers. Those before the experiment are wanted, too.
    pub fn hear(&mut self, outcome: Outcome<'_>) {
        if outcome.time < self.period.started {
            return self.expect(&outcome);
        }
        self.visit(&outcome);
        let Some((answer, position)) = self.join(&outcome) else { return };
        let seed = (u64::from(answer) << 32) | u64::from(position);
        let identity = xxh3_64_with_seed(format!("{}\0{}", outcome.kind, outcome.id).as_bytes(), seed);
        if self.counted.insert(identity) {
            self.count(&outcome, answer, position);
        }
    }

    /// The answer and the position that an outcome belongs to.
    fn join(&self, outcome: &Outcome<'_>) -> Option<(u32, u32)> {
        if let Some(id) = outcome.recommendation_id {
            let answer = *self.by_recommendation.get(id)?;
            // What somebody else says of an answer does not count.
            let owner = self.answers.get(answer as usize)?.user;
            self.by_id.get(&outcome.user).filter(|user| **user == owner)?;
            let position = self.position(answer, outcome)?;
            return Some((answer, position));
        }
        let window = self.period.window?;
        let user = self.users.get(*self.by_id.get(&outcome.user)? as usize)?;
        let earliest = outcome.time.before(window);
        let time = |answer: &u32| self.answers.get(*answer as usize).map(|answer| answer.time);
        let before = user.answers.iter().rev().skip_while(|answer| time(answer) > Some(outcome.time));
        let recent = before.take_while(|answer| time(answer) >= Some(earliest));
        recent.copied().find_map(|answer| Some((answer, self.position(answer, outcome)?)))
    }

    /// The position in an answer: as the outcome says if the item fits, else where the item was.
    fn position(&self, answer: u32, outcome: &Outcome<'_>) -> Option<u32> {
        let items = &self.answers.get(answer as usize)?.items;
        match outcome.position {
            Some(position) => {
                let (item, _) = items.get(position as usize)?;
                item.is_none_or(|item| item == outcome.item).then_some(position)
            }
            None => items.iter().position(|(item, _)| *item == Some(outcome.item)).map(|place| place as u32),
        }
    }

    fn count(&mut self, outcome: &Outcome<'_>, answer: u32, position: u32) {
        let Some(time) = self.answers.get(answer as usize).map(|answer| answer.time) else { return };
        let day = self.day_of(time);
        let Some(answer) = self.answers.get_mut(answer as usize) else { return };
        let Some(user) = self.users.get_mut(answer.user as usize) else { return };
        let Some(day) = user.day(day, self.metrics.len()) else { return };
        for (place, (metric, sum)) in self.metrics.iter().zip(&mut day.sums).enumerate() {
            if !metric.counts(outcome.kind) {
                continue;
            }
            match metric.kind {
                MetricKind::ClickThrough => {
                    let bit = 1u32 << place;
                    if answer.met & bit == 0 {
                        answer.met |= bit;
                        sum.of += 1.0;
                    }
                }
                MetricKind::Conversion => sum.of = 1.0,
                MetricKind::Revenue => sum.of += outcome.value.unwrap_or(0.0),
                MetricKind::Dwell => {
                    if let Some(millis) = outcome.dwell_ms {
                        sum.of += millis as f64 / 1000.0;
                        sum.over += 1.0;
                    }
                }
                MetricKind::SessionLength => {}
            }
        }
        let decides = self.metrics.first().is_some_and(|metric| metric.counts(outcome.kind));
        let team = answer.items.get(position as usize).and_then(|(_, team)| *team);
        if let (true, Some(team)) = (decides, team) {
            let [first, second] = &mut user.credits;
            *(if team == Team::First { first } else { second }) += 1;
        }
    }

    /// An event of a user since the first answer, joined or not.
    fn visit(&mut self, outcome: &Outcome<'_>) {
        let day = self.day_of(outcome.time);
        let Some(number) = self.by_id.get(&outcome.user) else { return };
        let (Some(session), Some(user)) = (outcome.session, self.users.get_mut(*number as usize)) else { return };
        if outcome.time < user.first || outcome.time > self.period.until {
            return;
        }
        let is_new = self.sessions.insert((*number, xxh3_64(session.as_bytes())));
        let Some(day) = user.day(day, self.metrics.len()) else { return };
        for (metric, sum) in self.metrics.iter().zip(&mut day.sums) {
            if metric.kind == MetricKind::SessionLength {
                sum.over += f64::from(u8::from(is_new));
                sum.of += f64::from(u8::from(metric.counts(outcome.kind)));
            }
        }
    }

    /// An event from before the experiment.
    fn expect(&mut self, outcome: &Outcome<'_>) {
        let number = self.by_id.get(&outcome.user);
        let Some(user) = number.and_then(|number| self.users.get_mut(*number as usize)) else { return };
        for (metric, before) in self.metrics.iter().zip(&mut user.before).filter(|(of, _)| of.counts(outcome.kind)) {
            *before += match metric.kind {
                MetricKind::Revenue => outcome.value.unwrap_or(0.0),
                MetricKind::Dwell => outcome.dwell_ms.unwrap_or(0) as f64 / 1000.0,
                MetricKind::ClickThrough | MetricKind::Conversion | MetricKind::SessionLength => 1.0,
            };
        }
    }

    /// Who was shown one variant alone, day by day.
    pub fn courses(&self) -> impl Iterator<Item = Course<'_>> {
        let single = self.users.iter().filter(|user| !user.crossed);
        single.map(|user| Course { first: user.first, days: &user.days, before: &user.before })
    }

    /// What all of it comes to.
    pub fn finish(self) -> Totals {
        let variants = self.variants.len();
        let mut totals = Totals {
            users: vec![0; variants],
            answers: vec![0; variants],
            crossed: 0,
            moments: vec![vec![Moments::default(); variants]; self.metrics.len()],
            preferences: Preferences::default(),
        };
        for user in &self.users {
            if user.crossed {
                totals.crossed += 1;
                continue;
            }
            let answers = user.answers.len() as u64;
            if let (Some(users), Some(shown)) =
                (totals.users.get_mut(user.variant), totals.answers.get_mut(user.variant))
            {
                *users += 1;
                *shown += answers;
            }
            let [first, second] = user.credits;
            totals.preferences.add(first, second);
            let of_metrics = self.metrics.iter().zip(&user.before).zip(&mut totals.moments);
            for (place, ((metric, before), moments)) in of_metrics.enumerate() {
                let mut sum = Sum::default();
                user.days.iter().for_each(|day| sum.join(metric.kind, day.figure(metric.kind, place)));
                if let Some(moments) = moments.get_mut(user.variant) {
                    moments.add(UserFigure { of: sum.of, over: sum.over, before: *before });
                }
            }
        }
        totals
    }
}

impl Participant {
    /// A day, which is there from now on.
    fn day(&mut self, number: u32, metrics: usize) -> Option<&mut Day> {
        let place = self.days.binary_search_by_key(&number, |day| day.number).unwrap_or_else(|place| {
            self.days.insert(place, Day { number, answers: 0, sums: vec![Sum::default(); metrics] });
            place
        });
        self.days.get_mut(place)
    }
}

/// All metrics of a design: those that decide or tell, then its guardrails'.
pub fn metrics(design: &ExperimentDesign) -> Vec<&MetricDefinition> {
    design.metrics.iter().chain(design.guardrails.iter().map(|guardrail| &guardrail.metric)).collect()
}

/// Sums over the users of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// Users by variant.
    pub users: Vec<u64>,
    /// Answers by variant.
    pub answers: Vec<u64>,
    /// Users who were shown several variants and are counted for none.
    pub crossed: u64,
    /// `[metric][variant]`.
    pub moments: Vec<Vec<Moments>>,
    /// Of an interleaved experiment.
    pub preferences: Preferences,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Assignment, Shown, Source};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn design() -> ExperimentDesign {
        serde_json::from_str(
            r#"{"variants":[{"name":"A"},{"name":"B"}],"metrics":[{"kind":"click_through"},{"kind":"conversion"},
            {"kind":"revenue"},{"kind":"dwell"},{"kind":"session_length"}]}"#,
        )
        .unwrap()
    }

    /// Answer `r<n>` to user `u<user>` shows the items 0 and 1.
    fn exposure(n: u32, user: u32, variant: &str, time: i64) -> Exposure {
        let shown = |item: u32| Shown {
            item: format!("i{item}"),
            score: 0.0,
            rank: None,
            source: Source::Personal,
            propensity: 1.0,
            team: None,
        };
        Exposure {
            recommendation_id: format!("r{n}"),
            time: at(time),
            user: Some(format!("u{user}")),
            scenario: None,
            snapshot: None,
            experiment: Some(Assignment { id: "x".into(), variant: Some(variant.into()) }),
            question: None,
            before: 0,
            items: vec![shown(0), shown(1)],
        }
    }

    const ITEMS: [Option<ItemId>; 2] = [Some(ItemId::new(0)), Some(ItemId::new(1))];

    fn outcome<'a>(user: u32, item: u32, kind: &'a str, time: i64) -> Outcome<'a> {
        Outcome {
            time: at(time),
            user: UserId::new(user),
            item: ItemId::new(item),
            kind,
            id: "",
            value: None,
            dwell_ms: None,
            session: None,
            recommendation_id: None,
            position: None,
        }
    }

    /// Users 0 and 1 were shown A and B, user 0 twice; nothing has come of it.
    fn tally(design: &ExperimentDesign, window: Option<Span>) -> Tally<'_> {
        let mut tally = Tally::new(design, Period { started: at(1_000), until: at(90_000), window });
        for (n, user, variant, time) in [(0, 0, "A", 2_000), (1, 1, "B", 3_000), (2, 0, "A", 4_000)] {
            tally.show(&exposure(n, user, variant, time), Some(UserId::new(user)), &ITEMS);
        }
        tally
    }

    /// Sum above the line and below it over the users of a variant.
    fn sums(totals: &Totals, metric: usize, variant: usize) -> (f64, f64) {
        totals.moments[metric][variant].sums()
    }

    #[test]
    fn an_outcome_counts_once_however_often_and_late_it_comes() {
        let design = design();
        let mut tally = tally(&design, None);
        let click = Outcome { recommendation_id: Some("r0"), position: Some(1), ..outcome(0, 1, "click", 5_000) };
        // Again, with another time of receipt; long after the end; without a position.
        tally.hear(click);
        tally.hear(Outcome { time: at(6_000), ..click });
        tally.hear(Outcome { time: at(9_000_000), ..click });
        tally.hear(Outcome { position: None, ..click });
        let bought = Outcome { kind: "purchase", value: Some(30.0), id: "order-1", dwell_ms: Some(4_000), ..click };
        tally.hear(bought);
        tally.hear(bought);
        tally.hear(Outcome { id: "order-2", ..bought });
        let totals = tally.finish();
        assert_eq!(totals.users, [1, 1]);
        assert_eq!(totals.answers, [2, 1]);
        assert_eq!(sums(&totals, 0, 0), (1.0, 2.0), "one of two answers");
        assert_eq!(sums(&totals, 1, 0), (1.0, 1.0), "one user");
        assert_eq!(sums(&totals, 2, 0), (60.0, 1.0), "two orders");
        assert_eq!(sums(&totals, 3, 0), (8.0, 2.0), "two dwell times");
        assert_eq!(sums(&totals, 0, 1), (0.0, 1.0));
    }

    #[test]
    fn what_fits_no_answer_counts_nowhere() {
        let design = design();
        let mut tally = tally(&design, None);
        let click = Outcome { recommendation_id: Some("r0"), position: Some(1), ..outcome(0, 1, "click", 5_000) };
        tally.hear(Outcome { recommendation_id: Some("r9"), ..click });
        tally.hear(Outcome { position: Some(2), ..click });
        tally.hear(Outcome { item: ItemId::new(0), ..click });
        tally.hear(Outcome { recommendation_id: None, ..click });
        tally.hear(Outcome { user: UserId::new(1), ..click });
        tally.hear(Outcome { user: UserId::new(7), ..click });
        assert_eq!(sums(&tally.finish(), 0, 0), (0.0, 2.0));
    }

    #[test]
    fn within_the_window_an_outcome_belongs_to_the_last_answer_that_showed_its_item() {
        let design = design();
        let mut tally = tally(&design, Some(Span::seconds(3)));
        tally.hear(outcome(0, 1, "click", 5_000));
        assert_eq!(tally.answers.iter().map(|answer| answer.met).collect::<Vec<_>>(), [0, 0, 1]);
        tally.hear(outcome(0, 1, "click", 3_000));
        tally.hear(outcome(1, 0, "click", 7_000));
        assert_eq!(tally.answers.iter().map(|answer| answer.met).collect::<Vec<_>>(), [1, 0, 1], "too late for r1");
    }

    #[test]
    fn sessions_and_events_before_the_start_are_of_users_not_of_answers() {
        let design = design();
        let mut tally = tally(&design, None);
        for (time, session) in [(2_500, "s"), (2_600, "s"), (2_700, "t"), (1_500, "before the first answer")] {
            tally.hear(Outcome { session: Some(session), ..outcome(0, 7, "view", time) });
        }
        tally.hear(outcome(1, 7, "click", 500));
        assert_eq!(tally.users[1].before[0], 1.0);
        assert_eq!(sums(&tally.finish(), 4, 0), (3.0, 2.0));
    }

    #[test]
    fn by_day_a_late_outcome_is_of_the_day_of_its_answer() {
        const DAY: i64 = 86_400_000;
        let design = design();
        let mut tally = Tally::daily(&design, Period { started: at(0), until: at(9 * DAY), window: None });
        for (n, day) in [(0, 3), (1, 3), (2, 5)] {
            tally.show(&exposure(n, 0, "A", day * DAY + 1_000), Some(UserId::new(0)), &ITEMS);
        }
        assert_eq!(tally.started(), at(3 * DAY + 1_000), "it begins with the first answer");
        let click = Outcome { recommendation_id: Some("r1"), position: Some(1), ..outcome(0, 1, "click", 8 * DAY) };
        for kind in ["click", "purchase"] {
            tally.hear(Outcome { kind, ..click });
            tally.hear(Outcome { kind, recommendation_id: Some("r2"), ..click });
        }
        tally.hear(outcome(0, 7, "click", DAY));
        let course = tally.courses().next().unwrap();
        let days = course.days.iter().map(|day| (day.number, day.answers, day.sums[0].of));
        assert_eq!(days.collect::<Vec<_>>(), [(0, 2, 1.0), (2, 1, 1.0)]);
        assert_eq!(course.before[0], 1.0);
        let totals = tally.finish();
        assert_eq!(sums(&totals, 0, 0), (2.0, 3.0), "two of three answers");
        assert_eq!(sums(&totals, 1, 0), (1.0, 1.0), "one user, who has bought on two days");
    }

    #[test]
    fn a_user_who_was_shown_both_counts_for_none() {
        let design = design();
        let mut tally = tally(&design, None);
        tally.show(&exposure(3, 1, "A", 5_000), Some(UserId::new(1)), &ITEMS);
        let totals = tally.finish();
        assert_eq!((totals.users, totals.crossed), (vec![1, 0], 1));
    }
}
