//! Draws the engine's steps as bars on standard error, if that is a terminal; in a log they are lines of level `info`.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::draws_bars;
use super::render::count;
use super::signals::Stop;
use crate::config::HalfLife;
use crate::progress::{Progress, Step};

/// Shows the steps of one long operation and stops it when the user wants so.
pub struct Bars {
    stop: Stop,
    drawn: Option<Mutex<Drawn>>,
}

/// The bar on the screen and the kind of step it shows.
struct Drawn {
    phase: &'static str,
    total: Option<u64>,
    bar: ProgressBar,
}

impl Bars {
    /// Bars for work that this flag stops.
    pub fn new(stop: Stop) -> Self {
        let drawn = draws_bars().then(|| Mutex::new(Drawn { phase: "", total: None, bar: ProgressBar::hidden() }));
        Self { stop, drawn }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(Ok(drawn)) = self.drawn.as_ref().map(Mutex::lock) {
            drawn.bar.finish_and_clear();
        }
    }

    fn draw(&self, drawn: &Mutex<Drawn>, view: &View) {
        let Ok(mut drawn) = drawn.lock() else { return };
        if (drawn.phase, drawn.total) != (view.phase, view.total) {
            drawn.bar.finish_and_clear();
            *drawn = Drawn { phase: view.phase, total: view.total, bar: bar(view) };
        }
        drawn.bar.set_position(view.done);
        drawn.bar.set_message(view.note.clone());
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Progress for Bars {
    fn report(&self, step: &Step) {
        let view = View::of(step);
        match &self.drawn {
            Some(drawn) => self.draw(drawn, &view),
            None => log(step),
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.is_set()
    }
}

/// The one phase that counts bytes.
const IMPORTING: &str = "importing";

/// A step as a bar shows it.
struct View {
    phase: &'static str,
    done: u64,
    total: Option<u64>,
    note: String,
}

impl View {
    fn of(step: &Step) -> Self {
        let of =
            |phase, done: usize, total: usize, note| Self { phase, done: done as u64, total: Some(total as u64), note };
        match step {
            Step::Importing { rows, rejected, bytes, total_bytes } => Self {
                phase: IMPORTING,
                done: *bytes,
                total: *total_bytes,
                note: match rejected {
                    0 => format!("{} rows", count(*rows)),
                    _ => format!("{} rows, {} rejected", count(*rows), count(*rejected)),
                },
            },
            Step::Reading { events } => Self { phase: "reading", done: *events, total: None, note: "events".into() },
            Step::Training { part } => Self { phase: "training", done: 0, total: None, note: part.clone() },
            Step::Epoch { epoch, epochs, loss } => of("training", *epoch, *epochs, format!("loss {loss:.6}")),
            Step::Indexing { done, total } => of("indexing", *done, *total, "vectors".into()),
            Step::Evaluating { done, total } => of("evaluating", *done, *total, "users".into()),
            Step::Fading { half_life } => {
                Self { phase: "half-life", done: 0, total: None, note: HalfLife::from(*half_life).to_string() }
            }
            Step::Tuning { trial, trials, best, seconds_left } => {
                of("tuning", *trial, *trials, tuning(*best, *seconds_left))
            }
            Step::Waiting { ahead } => {
                Self { phase: "waiting", done: *ahead, total: None, note: "trainings ahead".into() }
            }
            Step::Started => Self { phase: "starting", done: 0, total: None, note: String::new() },
            Step::Writing => Self { phase: "writing", done: 0, total: None, note: String::new() },
        }
    }
}

fn tuning(best: Option<f64>, seconds_left: Option<f64>) -> String {
    let best = best.map_or_else(String::new, |best| format!("best {best:.4}, "));
    let left = seconds_left.map_or_else(String::new, |seconds| {
        let minutes = (seconds / 60.0).ceil();
        if seconds < 90.0 { format!("{seconds:.0} s left,") } else { format!("{minutes:.0} min left,") }
    });
    format!("{best}{left}")
}

fn bar(view: &View) -> ProgressBar {
    let (bar, template) = match view.total {
        Some(total) if view.phase == IMPORTING => {
            (ProgressBar::new(total), "{prefix:>10} [{bar:30}] {bytes}/{total_bytes} {msg} {elapsed}")
        }
        Some(total) => (ProgressBar::new(total), "{prefix:>10} [{bar:30}] {human_pos}/{human_len} {msg} {elapsed}"),
        None => (ProgressBar::new_spinner(), "{prefix:>10} {spinner} {human_pos} {msg} {elapsed}"),
    };
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(view.phase);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Only what happens seldom: a line for every thousand vectors would drown the rest.
fn log(step: &Step) {
    match step {
        Step::Training { part } => tracing::info!(part, "training"),
        Step::Epoch { epoch, epochs, loss } => tracing::info!(epoch, epochs, loss, "trained an epoch"),
        Step::Fading { half_life } => tracing::info!(half_life = %HalfLife::from(*half_life), "trying a half-life"),
        Step::Tuning { trial, trials, best, seconds_left } => {
            tracing::info!(trial, trials, best, seconds_left, "tuning");
        }
        Step::Writing => tracing::info!("writing the snapshot"),
        _ => (),
    }
}
