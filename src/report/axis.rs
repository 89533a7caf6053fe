//! Axes: from a range of values to places on paper, and to ticks that a person would have chosen.

/// About so many ticks.
const TICKS: f64 = 5.0;
/// More names than this do not fit side by side; then only some are written.
const NAMES: usize = 12;

/// An axis of a plot: its label and how values lie on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    label: String,
    kind: Kind,
    from_zero: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Linear,
    Log,
    Names(Vec<String>),
}

impl Axis {
    /// Equal steps for equal differences.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), kind: Kind::Linear, from_zero: false }
    }

    /// Equal steps for equal ratios; values that are not positive are left out.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), kind: Kind::Log, from_zero: false }
    }

    /// One place for each name; value 0 is the first.
    pub fn names<N: Into<String>>(label: impl Into<String>, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { label: label.into(), kind: Kind::Names(names), from_zero: false }
    }

    /// Zero is on the axis, too.
    pub fn from_zero(mut self) -> Self {
        self.from_zero = true;
        self
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Whether a value has a place on such an axis.
    pub(super) fn takes(&self, value: f64) -> bool {
        value.is_finite() && (self.kind != Kind::Log || value > 0.0)
    }

    /// A value as a reader of this axis wants it.
    pub(super) fn written(&self, value: f64) -> String {
        match &self.kind {
            Kind::Names(names) => names.get(value as usize).cloned().unwrap_or_default(),
            Kind::Linear | Kind::Log => significant(value),
        }
    }

    /// The scale for these values between two places on paper, in pixels.
    pub(super) fn scale(&self, values: impl Iterator<Item = f64>, pixels: (f64, f64)) -> Scale {
        let taken = values.filter(|value| self.takes(*value)).chain(self.from_zero.then_some(0.0));
        let ends = taken.fold(None, |ends: Option<(f64, f64)>, value| {
            Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        match &self.kind {
            Kind::Linear => linear(ends.unwrap_or((0.0, 1.0)), pixels),
            Kind::Log => log(ends.unwrap_or((1.0, 10.0)), pixels),
            Kind::Names(names) => named(names, pixels),
        }
    }
}

/// Where values lie on paper.
pub(super) struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    pixels: (f64, f64),
    /// Values with their labels, ascending.
    pub ticks: Vec<(f64, String)>,
}

impl Scale {
    /// The place of a value, in pixels; what lies outside is moved to the nearer end.
    pub fn place(&self, value: f64) -> f64 {
        let of = |value: f64| if self.is_log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let share = (of(value) - of(self.low)) / (of(self.high) - of(self.low));
        self.pixels.0 + share.clamp(0.0, 1.0) * (self.pixels.1 - self.pixels.0)
    }

    /// Pixels between two neighbouring names.
    pub fn step(&self) -> f64 {
        ((self.pixels.1 - self.pixels.0) / (self.high - self.low)).abs()
    }
}

/// From and to a multiple of 1, 2 or 5 times a power of ten.
fn linear((mut low, mut high): (f64, f64), pixels: (f64, f64)) -> Scale {
    if high - low <= high.abs().max(low.abs()) * 1e-9 {
        // One value alone is put in the middle of something.
        let around = if high == 0.0 { 1.0 } else { high.abs() / 2.0 };
        (low, high) = if low == 0.0 { (0.0, 1.0) } else { (low - around, high + around) };
    }
    let step = nice_step((high - low) / TICKS);
    let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
    let count = (last - first).clamp(1.0, 4.0 * TICKS) as usize;
    let values = (0..=count).map(|place| (first + place as f64) * step);
    let ticks = values.map(|value| (value, in_steps(value, step))).collect();
    Scale { low: first * step, high: (first + count as f64) * step, is_log: false, pixels, ticks }
}

fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|nice| nice * power);
    steps.into_iter().find(|step| *step >= rough * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// From the least value to the greatest, ticks at 1, 2 and 5 times the powers of ten between them.
fn log((low, high): (f64, f64), pixels: (f64, f64)) -> Scale {
    let (low, high) = if high <= low * (1.0 + 1e-9) { (low / 2.0, high * 2.0) } else { (low, high) };
    let decades = (high / low).log10();
    let nice: &[f64] = if decades <= 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let every = (decades / (2.0 * TICKS)).ceil().max(1.0) as i32;
    let values = powers
        .filter(|power| power % every == 0)
        .flat_map(|power| nice.iter().map(move |nice| nice * 10f64.powi(power)))
        .filter(|value| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(value));
    let mut values: Vec<f64> = values.collect();
    if values.len() < 2 {
        values = vec![low, high];
    }
    let ticks = values.into_iter().map(|value| (value, significant(value))).collect();
    Scale { low, high, is_log: true, pixels, ticks }
}

fn named(names: &[String], pixels: (f64, f64)) -> Scale {
    let every = names.len().div_ceil(NAMES).max(1);
    let ticks = names.iter().enumerate().step_by(every).map(|(place, name)| (place as f64, name.clone())).collect();
    Scale { low: -0.5, high: names.len().max(1) as f64 - 0.5, is_log: false, pixels, ticks }
}

/// A tick's label: as many decimals as the step has.
fn in_steps(value: f64, step: f64) -> String {
    let value = if value.abs() < step / 2.0 { 0.0 } else { value };
    if value.abs() >= 1e4 || (value != 0.0 && step < 1e-4) {
        return significant(value);
    }
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

/// A number in at most four significant digits: `0.1234`, `12.3 k`, `4.5e-7`.
pub(super) fn significant(value: f64) -> String {
    let size = value.abs();
    let plain = |value: f64, digits: usize, unit: &str| {
        let text = format!("{value:.digits$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        format!("{text}{unit}")
    };
    match size {
        0.0 => "0".into(),
        _ if size < 1e-3 || size >= 1e12 => format!("{value:.2e}").replace(".00e", "e"),
        _ if size < 1.0 => plain(value, 4, ""),
        _ if size < 1e4 => plain(value, 3 - size.log10() as usize, ""),
        _ if size < 1e6 => plain(value / 1e3, 1, " k"),
        _ if size < 1e9 => plain(value / 1e6, 2, " M"),
        _ => plain(value / 1e9, 2, " G"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        axis.scale(values.iter().copied(), (0.0, 100.0)).ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        assert_eq!(labels(&Axis::linear(""), &[0.13, 0.91]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::linear("").from_zero(), &[7.0]), ["0", "2", "4", "6", "8"]);
        assert_eq!(labels(&Axis::linear(""), &[-0.004, 0.009]), ["-0.005", "0.000", "0.005", "0.010"]);
        assert_eq!(labels(&Axis::linear("").from_zero(), &[9e4]), ["0", "20 k", "40 k", "60 k", "80 k", "100 k"]);
        assert_eq!(labels(&Axis::log(""), &[1.0, 100.0]), ["1", "2", "5", "10", "20", "50", "100"]);
        assert_eq!(labels(&Axis::log(""), &[1e-6, 1e2]).len(), 9);
    }

    #[test]
    fn any_values_have_a_place() {
        for axis in [Axis::linear("x"), Axis::linear("x").from_zero(), Axis::log("x"), Axis::names("x", ["a", "b"])] {
            for values in [&[][..], &[0.0], &[3.0], &[-3.0, -3.0], &[1e-300, 1e300], &[f64::NAN, f64::INFINITY, 2.0]] {
                let scale = axis.scale(values.iter().copied(), (10.0, 90.0));
                assert!(scale.ticks.len() >= 2, "{axis:?} {values:?}");
                for value in values.iter().filter(|value| axis.takes(**value)) {
                    let place = scale.place(*value);
                    assert!((10.0..=90.0).contains(&place), "{axis:?} {values:?}: {place}");
                }
            }
        }
    }

    #[test]
    fn a_log_axis_spaces_ratios_evenly() {
        let scale = Axis::log("").scale([1.0, 100.0].into_iter(), (0.0, 100.0));
        assert!((scale.place(10.0) - 50.0).abs() < 1e-9);
        assert!(!Axis::log("").takes(0.0));
    }

    #[test]
    fn numbers_are_short() {
        let of = [0.0, 0.12345, 1.0, 12.345, 1234.6, 12_345.0, 2_500_000.0, 0.000_045, -3.25];
        let written = ["0", "0.1235", "1", "12.35", "1235", "12.3 k", "2.5 M", "4.50e-5", "-3.25"];
        assert_eq!(of.map(significant), written);
    }
}
