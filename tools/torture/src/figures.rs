//! What a run has seen, and how it is printed.

use std::collections::BTreeMap;
use std::time::Duration;

use savor::fault::Point;

use crate::finding::{Finding, Kind};

/// What a run has seen.
#[derive(Default)]
pub struct Figures {
    rounds: u64,
    pub kills: u64,
    pub kinds: BTreeMap<String, u64>,
    pub acknowledged: u64,
    /// Operations in doubt at a kill: not there afterwards, and there whole (an import: in part).
    pub undone: u64,
    pub done: u64,
    pub backups: u64,
    pub restored: u64,
    pub compared_events: u64,
    /// Runs that visited a point, and kills at it.
    pub points: BTreeMap<String, (u64, u64)>,
    /// How many findings there are.
    pub findings: u64,
    lost: u64,
    failed_opens: u64,
    mixed: u64,
    panics: u64,
    wrong_answers: u64,
    /// When progress was last told.
    told: Duration,
}

/// How often progress is told.
const INTERVAL: Duration = Duration::from_secs(30);

impl Figures {
    pub fn count(&mut self, finding: &Finding) {
        self.findings += 1;
        match finding.kind {
            Kind::Lost(records) => self.lost += records,
            Kind::FailedOpen => self.failed_opens += 1,
            Kind::Mixed => self.mixed += 1,
            Kind::Panic => self.panics += 1,
            Kind::WrongAnswer => self.wrong_answers += 1,
        }
    }

    /// Points at which no process was killed.
    pub fn missed(&self) -> Vec<&'static str> {
        let names = Point::ALL.iter().map(|point| point.name());
        names.filter(|name| self.points.get(*name).is_none_or(|(_, kills)| *kills == 0)).collect()
    }

    /// Adds what a round has seen, and tells how far the run is, now and then.
    pub fn add(&mut self, round: Self, elapsed: Duration) {
        let sums = [
            (&mut self.rounds, 1),
            (&mut self.kills, round.kills),
            (&mut self.acknowledged, round.acknowledged),
            (&mut self.undone, round.undone),
            (&mut self.done, round.done),
            (&mut self.backups, round.backups),
            (&mut self.restored, round.restored),
            (&mut self.compared_events, round.compared_events),
            (&mut self.findings, round.findings),
            (&mut self.lost, round.lost),
            (&mut self.failed_opens, round.failed_opens),
            (&mut self.mixed, round.mixed),
            (&mut self.panics, round.panics),
            (&mut self.wrong_answers, round.wrong_answers),
        ];
        for (sum, more) in sums {
            *sum += more;
        }
        for (kind, count) in round.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        for (point, (visits, kills)) in round.points {
            let sum = self.points.entry(point).or_default();
            *sum = (sum.0 + visits, sum.1 + kills);
        }
        if elapsed >= self.told + INTERVAL {
            let (kills, acknowledged, findings) = (self.kills, self.acknowledged, self.findings);
            println!("{:.0} s: {kills} kills, {acknowledged} acknowledged, {findings} findings", elapsed.as_secs_f64());
            self.told = elapsed;
        }
    }

    /// The table of fault points and, last, the line for machines.
    pub fn report(&self, seed: u64, elapsed: Duration) {
        println!("\n{:<28} {:>12} {:>8}", "fault point", "runs visited", "kills");
        for point in Point::ALL {
            let (visits, kills) = self.points.get(point.name()).copied().unwrap_or_default();
            println!("{:<28} {visits:>12} {kills:>8}", point.name());
        }
        let kinds: Vec<_> = self.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        println!("\n{:.0} s, {} rounds: {}", elapsed.as_secs_f64(), self.rounds, kinds.join(", "));
        println!(
            "{} operations acknowledged; in doubt at a kill: {} not there, {} there",
            self.acknowledged, self.undone, self.done
        );
        println!(
            "{} backups restored and compared, {} restores killed; {} events compared",
            self.backups, self.restored, self.compared_events
        );
        println!(
            "torture kills={} lost={} failed_opens={} mixed={} panics={} seed={seed} wrong_answers={} acknowledged={} seconds={:.0}",
            self.kills,
            self.lost,
            self.failed_opens,
            self.mixed,
            self.panics,
            self.wrong_answers,
            self.acknowledged,
            elapsed.as_secs_f64()
        );
    }
}
