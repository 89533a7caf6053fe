//! Admission: each request of a class enters by the class's gate ([`super::gate`]) and holds a place until its work has ended.
//! Classes do not take each other's places, so a back-up or a batch cannot keep questions out. With the place comes the step of
//! the ladder ([`Effort`]) that the question is to be answered at: by the pressure at the gate, and by the time that is left
//! until the request's deadline. Who leaves while it waits is not begun.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::gate::{Arrival, Gate, Refusal, Rules, Ticket};
use super::limit::{Kind, Limit};
use super::wait;
use crate::config::{OverloadConfig, QUESTIONS_EACH, ServerConfig};
use crate::record::Effort;

/// The one who asks, where nobody in particular does.
pub const DEFAULT: &str = "default";
/// Requests of operators in work at once: they look seldom.
const OPERATE_PLACES: usize = 4;
/// What is long or large may wait longer than a question.
const PATIENT: u32 = 20;
/// An answer must fit so many times into the time that is left.
const MARGIN: u32 = 2;

/// What kind of work a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Questions that are answered at once.
    Read,
    /// Changes.
    Write,
    /// Many questions or records in one request, and lists of everything.
    Bulk,
    /// What takes seconds or more.
    Long,
    /// What operators look at and switch: it gets in when all else is full.
    Operate,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Bulk, Self::Long, Self::Operate];

    /// The word for it in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Bulk => "bulk",
            Self::Long => "long",
            Self::Operate => "operate",
        }
    }
}

/// The gates of a server.
pub struct Admission {
    read: Arc<Door>,
    write: Arc<Door>,
    bulk: Arc<Door>,
    long: Arc<Door>,
    operate: Arc<Door>,
    overload: OverloadConfig,
}

struct Door(Mutex<Gate>);

impl Admission {
    /// Gates as the configuration has them, on a machine with so many processors.
    pub fn new(config: &ServerConfig, processors: usize) -> Self {
        let now = Instant::now();
        let overload = config.overload.clone();
        let rules =
            Rules { queue: overload.queue, interval: wait(overload.queue_time), target: wait(overload.queue_target) };
        let patient = Rules { interval: PATIENT * rules.interval, target: PATIENT * rules.target, ..rules };
        let door = |rules, limit| Arc::new(Door(Mutex::new(Gate::new(rules, limit, now))));
        let questions = config.max_concurrent_requests.min(QUESTIONS_EACH * processors);
        let adaptive = |most| Limit::new(processors, most, now);
        let fixed = |places| Limit::new(places, places, now);
        let bulk = if overload.bulk_places == 0 { processors } else { overload.bulk_places };
        Self {
            read: door(rules, adaptive(questions)),
            write: door(rules, adaptive(config.max_concurrent_requests)),
            bulk: door(patient, fixed(bulk)),
            long: door(patient, fixed(overload.long_places)),
            operate: door(patient, fixed(OPERATE_PLACES)),
            overload,
        }
    }

    /// A place for a request of `who` at a route, now or after a wait. The wait ends when its future is dropped.
    pub async fn enter(
        &self,
        who: &Arc<str>,
        class: Class,
        route: &'static str,
        deadline: Instant,
    ) -> Result<Place, Refusal> {
        let door = self.door(class);
        let came = Instant::now();
        let arrival = door.0.lock().arrive(came, who, deadline);
        let kind = (route, Effort::Full);
        let mut place = match arrival {
            Arrival::Refused(refusal) => return Err(refusal),
            Arrival::Enters => Place::new(door, who, kind),
            Arrival::Waits(ticket) => Waiting { door, who, kind, ticket, deadline, is_told: false }.verdict().await?,
        };
        place.waited = place.began.saturating_duration_since(came);
        if class == Class::Read {
            place.kind.1 = self.effort(door, route, deadline.saturating_duration_since(place.began));
        }
        Ok(place)
    }

    /// The step of the ladder: that of the pressure, or a cheaper one that fits into the time that is left.
    fn effort(&self, door: &Door, route: &'static str, left: Duration) -> Effort {
        let gate = door.0.lock();
        let least = self.overload.effort(gate.pressure());
        let fits = |effort: &Effort| gate.alone((route, *effort)).is_none_or(|alone| MARGIN * alone <= left);
        Effort::ALL.into_iter().filter(|effort| *effort >= least).find(fits).unwrap_or(Effort::Popular)
    }

    /// How many places of a class a tenant may hold, where these are few and may be held for long: half.
    pub fn share(&self, class: Class) -> Option<usize> {
        let places = match class {
            Class::Read | Class::Write => return None,
            Class::Bulk | Class::Long | Class::Operate => self.figures(class).2,
        };
        Some((places / 2).max(1))
    }

    /// The pressure on questions.
    pub fn pressure(&self) -> f64 {
        self.read.0.lock().pressure()
    }

    /// How much of a class is in work, how many wait, and how much may be in work.
    pub fn figures(&self, class: Class) -> (usize, usize, usize) {
        self.door(class).0.lock().figures()
    }

    fn door(&self, class: Class) -> &Arc<Door> {
        match class {
            Class::Read => &self.read,
            Class::Write => &self.write,
            Class::Bulk => &self.bulk,
            Class::Long => &self.long,
            Class::Operate => &self.operate,
        }
    }
}

/// One who waits; who is dropped gives up.
struct Waiting<'a> {
    door: &'a Arc<Door>,
    who: &'a Arc<str>,
    kind: Kind,
    ticket: Ticket,
    deadline: Instant,
    is_told: bool,
}

impl Waiting<'_> {
    async fn verdict(mut self) -> Result<Place, Refusal> {
        let until = tokio::time::Instant::from_std(self.ticket.until);
        let told = tokio::time::timeout_at(until, &mut self.ticket.verdict).await;
        match told {
            Ok(Ok(verdict)) => {
                self.is_told = true;
                verdict.map(|()| Place::new(self.door, self.who, self.kind))
            }
            // Dropping gives up; a place that was given in the same moment goes to the next.
            _ if Instant::now() >= self.deadline => Err(Refusal::Late),
            _ => Err(Refusal::Waited),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        let now = Instant::now();
        let mut gate = self.door.0.lock();
        if !gate.give_up(now, self.who, self.ticket.number) && matches!(self.ticket.verdict.try_recv(), Ok(Ok(()))) {
            gate.leave(now, self.who, self.kind, None);
        }
    }
}

/// A place among the requests in work, given back when it is dropped.
pub struct Place {
    door: Arc<Door>,
    who: Arc<str>,
    kind: Kind,
    began: Instant,
    waited: Duration,
}

impl Place {
    fn new(door: &Arc<Door>, who: &Arc<str>, kind: Kind) -> Self {
        Self { door: Arc::clone(door), who: Arc::clone(who), kind, began: Instant::now(), waited: Duration::ZERO }
    }

    /// The step of the ladder that a question is to be answered at.
    pub fn effort(&self) -> Effort {
        self.kind.1
    }

    /// How long it was waited for.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = Instant::now();
        self.door.0.lock().leave(now, &self.who, self.kind, Some(now.saturating_duration_since(self.began)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    fn admission(change: impl FnOnce(&mut ServerConfig)) -> Admission {
        let mut config = ServerConfig { max_concurrent_requests: 1, ..ServerConfig::default() };
        change(&mut config);
        Admission::new(&config, 2)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3_600)
    }

    #[tokio::test]
    async fn classes_do_not_take_each_others_places() {
        let admission = admission(|config| config.overload.queue = 0);
        let who = Arc::from(DEFAULT);
        let mut held = Vec::new();
        for class in [Class::Long, Class::Bulk, Class::Operate, Class::Write] {
            while let Ok(place) = admission.enter(&who, class, "/", later()).await {
                held.push(place);
            }
        }
        let place = admission.enter(&who, Class::Read, "/", later()).await.unwrap();
        assert_eq!(admission.enter(&who, Class::Read, "/", later()).await.err(), Some(Refusal::Full));
        drop(place);
        assert!(admission.enter(&who, Class::Read, "/", later()).await.is_ok());
    }

    #[test]
    fn a_tenant_may_hold_half_of_the_places_that_are_few() {
        let admission = admission(|config| (config.overload.bulk_places, config.overload.long_places) = (6, 1));
        let shares = Class::ALL.map(|class| admission.share(class));
        assert_eq!(shares, [None, None, Some(3), Some(1), Some(2)]);
    }

    #[tokio::test]
    async fn who_leaves_while_it_waits_leaves_nothing_behind() {
        let admission = admission(|config| config.overload.queue_time = crate::record::Span::seconds(60));
        let who = Arc::from(DEFAULT);
        let place = admission.enter(&who, Class::Read, "/", later()).await.unwrap();
        {
            let mut left = pin!(admission.enter(&who, Class::Read, "/", later()));
            let mut patient = pin!(admission.enter(&who, Class::Read, "/", later()));
            poll_fn(|cx| {
                assert!(left.as_mut().poll(cx).is_pending() && patient.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            assert_eq!(admission.figures(Class::Read), (1, 2, 1));
            // The first is told, and is gone before it hears it: the second gets the place.
            drop(place);
            assert_eq!(admission.figures(Class::Read), (1, 1, 1));
        }
        assert_eq!(admission.figures(Class::Read), (0, 0, 1));
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused() {
        let admission = admission(|config| config.overload.queue_time = crate::record::Span::millis_of(1));
        let who = Arc::from(DEFAULT);
        let _place = admission.enter(&who, Class::Read, "/", later()).await.unwrap();
        assert_eq!(admission.enter(&who, Class::Read, "/", later()).await.err(), Some(Refusal::Waited));
        assert_eq!(admission.figures(Class::Read).1, 0);
    }

    #[tokio::test]
    async fn what_does_not_fit_into_the_time_that_is_left_is_answered_cheaper() {
        let admission = admission(|_| {});
        let mut now = Instant::now();
        for (effort, millis) in [(Effort::Full, 100), (Effort::Unranked, 20), (Effort::Kept, 10)] {
            let mut gate = admission.read.0.lock();
            for _ in 0..64 {
                now += Duration::from_millis(10);
                gate.leave(now, DEFAULT, ("/", effort), Some(Duration::from_millis(millis)));
            }
        }
        let of = |left| admission.effort(&admission.read, "/", Duration::from_millis(left));
        assert_eq!(
            [of(1_000), of(150), of(30), of(10)],
            [Effort::Full, Effort::Unranked, Effort::Kept, Effort::Popular]
        );
        assert_eq!(admission.effort(&admission.read, "/other", Duration::from_millis(10)), Effort::Full);
    }
}
