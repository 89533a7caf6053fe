//! What may be concluded of an experiment so far: figures, intervals that hold at every look, and a verdict in words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::correct::adjusted;
use super::mismatch;
use super::moments::{Moments, Pair};
use super::plan::Plan;
use super::sequence::{Boundary, FEWEST_USERS};
use super::tally::{Totals, metrics};
use crate::record::{Experiment, ExperimentDesign, ExperimentState, Timestamp};

/// An experiment at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentReport {
    /// Which.
    pub experiment: String,
    /// Where it stands.
    pub state: ExperimentState,
    /// When it began.
    pub started: Timestamp,
    /// Up to when it was looked at.
    pub until: Timestamp,
    /// What to conclude, in one word.
    pub verdict: Verdict,
    /// The same in words, with the figures.
    pub words: String,
    /// The variant that won, if one did.
    pub winner: Option<String>,
    /// Who took part.
    pub variants: Vec<VariantReport>,
    /// Users who were shown several variants (after a merge), and are left out.
    pub crossed: u64,
    /// The always-valid p-value of users coming in the promised shares.
    pub mismatch_p: f64,
    /// Whether they did not: nothing else in this report is to be believed then.
    pub mismatch: bool,
    /// Each metric of each variant beside the control's.
    pub comparisons: Vec<ComparisonReport>,
    /// Whose items were clicked, in an interleaved experiment.
    pub preferences: Option<PreferenceReport>,
    /// The probability of an error that intervals and p-values are about.
    pub alpha: f64,
}

/// What to conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Too few users to say anything.
    TooEarly,
    /// Nothing decided yet.
    Undecided,
    /// A variant is better than the control.
    Won,
    /// A variant is worse than the control and none is better.
    Lost,
    /// A variant breaks a guardrail and none is better without doing so.
    Harm,
    /// Users did not come in the promised shares: something is wrong with the experiment itself.
    Mismatch,
}

/// A variant's users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VariantReport {
    /// Its name.
    pub name: String,
    /// Users who were shown it.
    pub users: u64,
    /// Answers that they were given.
    pub answers: u64,
    /// The share of users that it was promised.
    pub share: f64,
}

/// A metric of a variant beside the control's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparisonReport {
    /// The metric.
    pub metric: String,
    /// What it is for.
    pub role: Role,
    /// The variant.
    pub variant: String,
    /// The figures; absent while there are too few users, or nothing has come of any answer.
    pub effect: Option<Effect>,
    /// Of a guardrail: whether it holds.
    pub guardrail: Option<GuardrailState>,
}

/// What a metric is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It decides.
    Deciding,
    /// It tells.
    Secondary,
    /// It must not get worse.
    Guardrail,
}

impl Role {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deciding => "decides",
            Self::Secondary => "tells",
            Self::Guardrail => "guards",
        }
    }
}

/// Whether a guardrail holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailState {
    /// The loss is certainly within the tolerance.
    Holds,
    /// Not certain yet.
    Open,
    /// The loss is certainly beyond the tolerance.
    Broken,
}

impl GuardrailState {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Open => "open",
            Self::Broken => "broken",
        }
    }
}

/// Figures of a metric in two variants. With a covariate, both are what they would be if both groups had had the same past.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// The control's.
    pub control: f64,
    /// The variant's.
    pub value: f64,
    /// By how much it is higher.
    pub difference: f64,
    /// The always-valid interval of the difference: its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The difference over the control's figure.
    pub relative: f64,
    /// The always-valid p-value against no difference.
    pub p: f64,
    /// The same, corrected for the number of comparisons (guardrails aside).
    pub adjusted_p: f64,
    /// The share of variance that users' past took away.
    pub variance_reduction: f64,
    /// Users of both variants that it takes to find the effect that matters with the planned power.
    pub users_needed: f64,
    /// At the present rate of new users, so many days after the start.
    pub days_needed: f64,
    /// The relative effect that would be found with the planned power among as many users as there are now.
    pub smallest_effect: f64,
}

/// Whose items were clicked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreferenceReport {
    /// Users who clicked more of the control's items.
    pub control: u64,
    /// Users who clicked more of the variant's items.
    pub variant: u64,
    /// Users who clicked as many of both, and at least one.
    pub ties: u64,
    /// The share of users who prefer the variant, ties counted half, less ½.
    pub lead: f64,
    /// The always-valid p-value against no preference.
    pub p: f64,
}

/// The report of an experiment from the sums over its users.
pub fn report(experiment: &Experiment, started: Timestamp, until: Timestamp, totals: &Totals) -> ExperimentReport {
    let design = &experiment.design;
    let weights: Vec<f64> = design.variants.iter().map(|variant| f64::from(variant.weight)).collect();
    let shares: Vec<f64> = weights.iter().map(|weight| weight / weights.iter().sum::<f64>()).collect();
    let variants = design.variants.iter().zip(&shares).enumerate();
    let count = |counts: &[u64], place: usize| counts.get(place).copied().unwrap_or(0);
    let variants = variants.map(|(place, (variant, share))| VariantReport {
        name: variant.name.clone(),
        users: count(&totals.users, place),
        answers: count(&totals.answers, place),
        share: *share,
    });
    let variants: Vec<VariantReport> = variants.collect();
    let mismatch_p = if design.interleave { 1.0 } else { mismatch::p_value(&totals.users, &shares) };
    let days = (until.millis() - started.millis()).max(1) as f64 / 86_400_000.0;
    let comparisons = if design.interleave { Vec::new() } else { comparisons(design, totals, days) };
    let preferences = design.interleave.then(|| PreferenceReport {
        control: totals.preferences.first,
        variant: totals.preferences.second,
        ties: totals.preferences.ties,
        lead: totals.preferences.lead(),
        p: totals.preferences.p(),
    });
    let mut report = ExperimentReport {
        experiment: experiment.id.clone(),
        state: experiment.state,
        started,
        until,
        verdict: Verdict::TooEarly,
        words: String::new(),
        winner: None,
        variants,
        crossed: totals.crossed,
        mismatch_p,
        mismatch: mismatch_p < mismatch::ALARM,
        comparisons,
        preferences,
        alpha: design.alpha,
    };
    (report.verdict, report.winner, report.words) = conclude(&report, design);
    report
}

fn comparisons(design: &ExperimentDesign, totals: &Totals, days: f64) -> Vec<ComparisonReport> {
    let planned = design.planned_answers as f64;
    let boundary = Boundary::planned(design.alpha, planned);
    // Any broken guardrail ends a test: all of them together are wrong as seldom as one comparison (Bonferroni).
    let guarded = design.guardrails.len() * design.variants.len().saturating_sub(1);
    let guard = Boundary::planned(design.alpha / guarded.max(1) as f64, planned);
    let mut comparisons = Vec::new();
    for (place, (metric, moments)) in metrics(design).into_iter().zip(&totals.moments).enumerate() {
        let role = role(design, place);
        let Some((control, treated)) = moments.split_first() else { continue };
        for (variant, (treated, named)) in treated.iter().zip(design.variants.iter().skip(1)).enumerate() {
            let answers = |variant: usize| totals.answers.get(variant).copied().unwrap_or(0) as f64;
            let observed = answers(0) + answers(variant + 1);
            let boundary = if role == Role::Guardrail { &guard } else { &boundary };
            let effect = effect(design, boundary, control, treated, observed, days);
            let tolerance = place.checked_sub(design.metrics.len()).and_then(|place| design.guardrails.get(place));
            let guardrail = tolerance.map(|guardrail| {
                effect.map_or(GuardrailState::Open, |effect| {
                    let (low, high) = match metric.lower_is_better {
                        true => (-effect.high, -effect.low),
                        false => (effect.low, effect.high),
                    };
                    let accepted = -guardrail.tolerance * effect.control.abs();
                    match () {
                        () if high < accepted => GuardrailState::Broken,
                        () if low > accepted => GuardrailState::Holds,
                        () => GuardrailState::Open,
                    }
                })
            });
            let (metric, variant) = (metric.name().to_owned(), named.name.clone());
            comparisons.push(ComparisonReport { metric, role, variant, effect, guardrail });
        }
    }
    let mut tested: Vec<&mut Effect> = comparisons
        .iter_mut()
        .filter(|comparison| comparison.role != Role::Guardrail)
        .filter_map(|comparison| comparison.effect.as_mut())
        .collect();
    let p: Vec<f64> = tested.iter().map(|effect| effect.p).collect();
    for (effect, p) in tested.iter_mut().zip(adjusted(&p, design.correction)) {
        effect.adjusted_p = p;
    }
    comparisons
}

/// What the metric at a place is for: the first decides, guardrails come last.
pub fn role(design: &ExperimentDesign, place: usize) -> Role {
    match place {
        0 => Role::Deciding,
        place if place < design.metrics.len() => Role::Secondary,
        _ => Role::Guardrail,
    }
}

fn effect(
    design: &ExperimentDesign,
    boundary: &Boundary,
    control: &Moments,
    treated: &Moments,
    observed: f64,
    days: f64,
) -> Option<Effect> {
    let pair = Pair::of(control, treated)?;
    let users = [control.users(), treated.users()];
    let found = boundary.difference(&pair, users, observed)?;
    let all = users.iter().sum::<f64>();
    let [shares_control, shares_treated] = users.map(|users| users / all);
    let deviation = pair.error() / users.iter().map(|users| 1.0 / users).sum::<f64>().sqrt();
    let (alpha, power) = (design.alpha, design.power);
    let plan = Plan { alpha, power, deviation, shares: [shares_control, shares_treated] };
    let base = pair.control.value.abs().max(f64::MIN_POSITIVE);
    let users_needed = plan.users(design.effect * base);
    Some(Effect {
        control: pair.control.value,
        value: pair.treated.value,
        difference: found.value,
        low: found.low,
        high: found.high,
        relative: found.value / base,
        p: found.p,
        adjusted_p: found.p,
        variance_reduction: pair.reduction,
        users_needed,
        days_needed: users_needed / all * days,
        smallest_effect: plan.effect(all) / base,
    })
}

fn conclude(report: &ExperimentReport, design: &ExperimentDesign) -> (Verdict, Option<String>, String) {
    if report.mismatch {
        let came: Vec<String> = report.variants.iter().map(|of| format!("{} {}", of.name, of.users)).collect();
        let words = format!(
            "Users did not come in the promised shares ({}; p {:.2e}): find out why before anything else here is believed.",
            came.join(", "),
            report.mismatch_p
        );
        return (Verdict::Mismatch, None, words);
    }
    if let Some(preferences) = &report.preferences {
        return prefer(report, preferences, design);
    }
    let breaks = |variant: &str| {
        let mut of_variant = report.comparisons.iter().filter(|of| of.variant == variant);
        of_variant.find(|of| of.guardrail == Some(GuardrailState::Broken))
    };
    let lower_is_better = design.metrics.first().is_some_and(|metric| metric.lower_is_better);
    let gain = |effect: &Effect| if lower_is_better { -effect.difference } else { effect.difference };
    let deciding = report.comparisons.iter().filter(|of| of.role == Role::Deciding);
    let mut known: Vec<(&ComparisonReport, Effect)> = deciding.filter_map(|of| Some((of, of.effect?))).collect();
    known.sort_by(|a, b| gain(&b.1).total_cmp(&gain(&a.1)));
    let decided = |effect: &Effect| effect.adjusted_p <= report.alpha;
    let better =
        known.iter().find(|(of, effect)| decided(effect) && gain(effect) > 0.0 && breaks(&of.variant).is_none());
    if let Some((of, effect)) = better {
        let words = format!("{} is better than the control by {}.", of.variant, told(of, effect));
        return (Verdict::Won, Some(of.variant.clone()), words);
    }
    // As long as one variant may still be found better, the test goes on.
    let is_out = |of: &ComparisonReport, effect: &Effect| decided(effect) || breaks(&of.variant).is_some();
    let all_are_out = known.len() + 1 >= design.variants.len() && known.iter().all(|(of, effect)| is_out(of, effect));
    if let Some(broken) = design.variants.iter().find_map(|variant| breaks(&variant.name)).filter(|_| all_are_out) {
        let effect = broken.effect.as_ref().map(|effect| told(broken, effect)).unwrap_or_default();
        return (Verdict::Harm, None, format!("{} breaks a guardrail: {effect}.", broken.variant));
    }
    if let Some((of, effect)) = known.iter().find(|(_, effect)| decided(effect)).filter(|_| all_are_out) {
        return (Verdict::Lost, None, format!("{} is worse than the control by {}.", of.variant, told(of, effect)));
    }
    match known.first() {
        Some((of, effect)) => {
            let words = format!(
                "Nothing is decided yet: {}, by {}. A change of {:.1} % needs about {:.0} users, {:.1} days from the start.",
                of.variant,
                told(of, effect),
                design.effect * 100.0,
                effect.users_needed,
                effect.days_needed
            );
            (Verdict::Undecided, None, words)
        }
        None => {
            let words = format!(
                "Too early: no statement is made on fewer than {FEWEST_USERS} users a variant, or before the first outcome."
            );
            (Verdict::TooEarly, None, words)
        }
    }
}

fn told(of: &ComparisonReport, effect: &Effect) -> String {
    let base = effect.control.abs().max(f64::MIN_POSITIVE);
    format!(
        "{} {:.4} against {:.4} ({:+.1} %, interval {:+.1} % to {:+.1} %, p {:.4})",
        of.metric,
        effect.value,
        effect.control,
        effect.relative * 100.0,
        effect.low / base * 100.0,
        effect.high / base * 100.0,
        effect.adjusted_p
    )
}

fn prefer(
    report: &ExperimentReport,
    found: &PreferenceReport,
    design: &ExperimentDesign,
) -> (Verdict, Option<String>, String) {
    let name = |place: usize| design.variants.get(place).map(|variant| variant.name.clone()).unwrap_or_default();
    let counted = format!(
        "{} users clicked more items of {}, {} of {}, {} as many of both (p {:.4})",
        found.variant,
        name(1),
        found.control,
        name(0),
        found.ties,
        found.p
    );
    match found.p <= report.alpha {
        true if found.variant > found.control => {
            (Verdict::Won, Some(name(1)), format!("{} is preferred: {counted}.", name(1)))
        }
        true => (Verdict::Lost, None, format!("{} is preferred: {counted}.", name(0))),
        false if found.variant + found.control == 0 => {
            (Verdict::TooEarly, None, "Too early: nobody has preferred either side yet.".into())
        }
        false => (Verdict::Undecided, None, format!("Nothing is decided yet: {counted}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::interleave::Preferences;
    use crate::experiment::moments::UserFigure;

    fn experiment(design: &str) -> Experiment {
        Experiment {
            id: "x".into(),
            version: 1,
            state: ExperimentState::Running,
            design: serde_json::from_str(design).unwrap(),
            created: Timestamp::default(),
            started: Some(Timestamp::default()),
            stopped: None,
            slots: Vec::new(),
            decision: None,
        }
    }

    /// So many users of one answer each, of whom so many in a hundred click.
    fn users(count: u64, clicks: u64) -> Moments {
        let mut moments = Moments::default();
        for user in 0..count {
            let of = f64::from(u8::from(user % 100 < clicks));
            moments.add(UserFigure { of, over: 1.0, before: 0.0 });
        }
        moments
    }

    fn looked_at(design: &str, counts: &[u64], clicks: &[&[u64]]) -> ExperimentReport {
        let row = |clicks: &&[u64]| counts.iter().zip(*clicks).map(|(count, clicks)| users(*count, *clicks)).collect();
        let totals = Totals {
            users: counts.to_vec(),
            answers: counts.to_vec(),
            crossed: 0,
            moments: clicks.iter().map(row).collect(),
            preferences: Preferences::default(),
        };
        report(&experiment(design), Timestamp::default(), Timestamp::from_millis(86_400_000).unwrap(), &totals)
    }

    const TWO: &str = r#"{"variants":[{"name":"A"},{"name":"B"}]}"#;
    const GUARDED: &str = r#"{"variants":[{"name":"A"},{"name":"B"}],
        "guardrails":[{"metric":{"kind":"conversion","types":["purchase"]},"tolerance":0.1}]}"#;

    #[test]
    fn each_verdict_has_its_figures() {
        assert_eq!(looked_at(TWO, &[50, 50], &[&[10, 20]]).verdict, Verdict::TooEarly);
        let undecided = looked_at(TWO, &[1_000, 1_000], &[&[10, 11]]);
        assert_eq!(undecided.verdict, Verdict::Undecided, "{}", undecided.words);
        let won = looked_at(TWO, &[5_000, 5_000], &[&[10, 14]]);
        assert_eq!((won.verdict, won.winner.as_deref()), (Verdict::Won, Some("B")), "{}", won.words);
        let effect = won.comparisons[0].effect.unwrap();
        assert!(effect.low > 0.0 && (effect.relative - 0.4).abs() < 1e-9 && effect.adjusted_p < 0.001, "{effect:?}");
        assert!(won.words.contains("+40.0 %"), "{}", won.words);
        assert_eq!(looked_at(TWO, &[5_000, 5_000], &[&[14, 10]]).verdict, Verdict::Lost);
        let mismatch = looked_at(TWO, &[5_200, 4_600], &[&[10, 14]]);
        assert_eq!((mismatch.verdict, mismatch.winner), (Verdict::Mismatch, None), "{}", mismatch.words);
    }

    #[test]
    fn a_winner_that_breaks_a_guardrail_is_none() {
        let harm = looked_at(GUARDED, &[5_000, 5_000], &[&[10, 14], &[20, 12]]);
        assert_eq!((harm.verdict, harm.winner), (Verdict::Harm, None), "{}", harm.words);
        let well = looked_at(GUARDED, &[5_000, 5_000], &[&[10, 14], &[20, 24]]);
        assert_eq!((well.verdict, well.comparisons[1].guardrail), (Verdict::Won, Some(GuardrailState::Holds)));
        let open = looked_at(GUARDED, &[5_000, 5_000], &[&[10, 14], &[20, 19]]);
        assert_eq!((open.verdict, open.comparisons[1].guardrail), (Verdict::Won, Some(GuardrailState::Open)));
    }

    #[test]
    fn of_many_guardrails_each_breaks_less_easily() {
        let broken = |guardrails: usize| {
            let one = r#"{"metric":{"kind":"conversion","types":["purchase"]},"tolerance":0.05}"#;
            let design = format!(
                r#"{{"variants":[{{"name":"A"}},{{"name":"B"}}],"guardrails":[{}]}}"#,
                vec![one; guardrails].join(",")
            );
            let clicks: Vec<&[u64]> = std::iter::repeat_n(&[20, 15][..], guardrails + 1).collect();
            looked_at(&design, &[2_000, 2_000], &clicks).comparisons.pop().unwrap().effect.unwrap().high
        };
        assert!(broken(1) < broken(2) && broken(2) < broken(8));
    }

    #[test]
    fn many_comparisons_need_more_evidence() {
        let one = looked_at(TWO, &[3_000, 3_000], &[&[10, 14]]).comparisons[0].effect.unwrap();
        let three = r#"{"variants":[{"name":"A"},{"name":"B"},{"name":"C"},{"name":"D"}]}"#;
        let many = looked_at(three, &[3_000; 4], &[&[10, 14, 10, 10]]).comparisons[0].effect.unwrap();
        assert!((many.adjusted_p - 3.0 * one.p).abs() < 1e-12, "{many:?} {one:?}");
    }

    #[test]
    fn what_an_effect_needs_grows_with_its_square() {
        let at = |effect: &str| {
            let design = format!(r#"{{"variants":[{{"name":"A"}},{{"name":"B"}}],"effect":{effect}}}"#);
            looked_at(&design, &[1_000, 1_000], &[&[10, 10]]).comparisons[0].effect.unwrap()
        };
        assert!((at("0.05").users_needed / at("0.1").users_needed - 4.0).abs() < 1e-9);
        // (3.03 + 0.84)² · .09 · 4 / .005², in users of both variants.
        assert!((at("0.05").users_needed - 215_700.0).abs() < 3_000.0, "{:?}", at("0.05"));
    }
}
