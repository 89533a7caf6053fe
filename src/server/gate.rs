//! Who may begin, who waits and who is refused: the rules of one class of work, without a clock or a thread of their own.
//!
//! Parties (tenants, keys) share the places: a free one goes to the party that has fewest in work, in turns, so one that asks a
//! thousand times as much as another delays it by one piece of work, not by a thousand. The queue is bounded; when it is full
//! the party that has most in it loses its oldest. In a queue that does not empty (for `interval`) waiting helps nobody:
//! from then on one waits for `target` only, and the newest, whose client is the likeliest to be there still, goes first
//! (controlled delay, Nichols & Jacobson 2012; with adaptive LIFO: Maurer, "Fail at Scale", 2015).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::limit::{Kind, Limit};

/// Pressure is an average over so long.
const MEMORY: Duration = Duration::from_millis(100);
/// The share of a new figure in the time that work takes.
const SHARE: f64 = 1.0 / 16.0;

/// Why a request is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// All who may wait wait already.
    Full,
    /// Its party has more that waits than others, and there was no room.
    Share,
    /// It waited as long as it helps to wait.
    Waited,
    /// Its deadline passed before its turn came.
    Late,
}

/// How a gate works.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// So many may wait.
    pub queue: usize,
    /// So long one waits.
    pub interval: Duration,
    /// So long, once the queue has not been empty for the interval.
    pub target: Duration,
}

/// The state of one class of work.
pub struct Gate {
    rules: Rules,
    limit: Limit,
    parties: FxHashMap<Arc<str>, Party>,
    in_work: usize,
    waiting: usize,
    turns: u64,
    tickets: u64,
    /// What work takes, in seconds, lately.
    service: f64,
    pressure: f64,
    looked: Instant,
}

#[derive(Default)]
struct Party {
    in_work: usize,
    queue: VecDeque<Waiter>,
    /// Since when the queue has not been empty.
    standing: Option<Instant>,
    /// When it had its last turn.
    turn: u64,
}

struct Waiter {
    ticket: u64,
    deadline: Instant,
    verdict: oneshot::Sender<Result<(), Refusal>>,
}

/// What becomes of one who comes.
pub enum Arrival {
    /// It has a place.
    Enters,
    /// It waits.
    Waits(Ticket),
    /// It is refused.
    Refused(Refusal),
}

/// A place in the queue.
pub struct Ticket {
    /// Its number.
    pub number: u64,
    /// It waits until then.
    pub until: Instant,
    /// What becomes of it, if that is told before.
    pub verdict: oneshot::Receiver<Result<(), Refusal>>,
}

impl Gate {
    /// With nobody in it.
    pub fn new(rules: Rules, limit: Limit, now: Instant) -> Self {
        Self {
            rules,
            limit,
            parties: FxHashMap::default(),
            in_work: 0,
            waiting: 0,
            turns: 0,
            tickets: 0,
            service: 0.0,
            pressure: 0.0,
            looked: now,
        }
    }

    /// Somebody comes.
    pub fn arrive(&mut self, now: Instant, who: &Arc<str>, deadline: Instant) -> Arrival {
        self.look(now);
        if deadline <= now {
            return Arrival::Refused(Refusal::Late);
        }
        if self.waiting == 0 && self.in_work < self.limit.get() {
            self.turns += 1;
            let turn = self.turns;
            let party = self.party(who);
            (party.in_work, party.turn) = (party.in_work + 1, turn);
            self.in_work += 1;
            return Arrival::Enters;
        }
        if self.waiting >= self.rules.queue
            && let Err(refusal) = self.make_room(who)
        {
            return Arrival::Refused(refusal);
        }
        self.tickets += 1;
        let (number, rules) = (self.tickets, self.rules);
        let (tell, verdict) = oneshot::channel();
        let party = self.party(who);
        let standing = *party.standing.get_or_insert(now);
        let is_standing = now.saturating_duration_since(standing) >= rules.interval;
        let until = deadline.min(now + if is_standing { rules.target } else { rules.interval });
        party.queue.push_back(Waiter { ticket: number, deadline, verdict: tell });
        self.waiting += 1;
        Arrival::Waits(Ticket { number, until, verdict })
    }

    /// One who waited does not any more. `false` if it is not in the queue: then its verdict has been told.
    pub fn give_up(&mut self, now: Instant, who: &str, ticket: u64) -> bool {
        self.look(now);
        let Some(party) = self.parties.get_mut(who) else { return false };
        let Some(place) = party.queue.iter().position(|waiter| waiter.ticket == ticket) else { return false };
        party.queue.remove(place);
        self.waiting -= 1;
        self.tidy(who);
        true
    }

    /// Work has ended; `took` is `None` for work that was not begun after all.
    pub fn leave(&mut self, now: Instant, who: &str, kind: Kind, took: Option<Duration>) {
        self.look(now);
        if let Some(took) = took {
            self.limit.observe(now, kind, took, self.in_work);
            self.service += SHARE * (took.as_secs_f64() - self.service);
        }
        self.in_work = self.in_work.saturating_sub(1);
        if let Some(party) = self.parties.get_mut(who) {
            party.in_work = party.in_work.saturating_sub(1);
        }
        self.tidy(who);
        while self.waiting > 0 && self.in_work < self.limit.get() {
            let Some(name) = self.next_party() else { break };
            self.call(now, &name);
            self.tidy(&name);
        }
    }

    /// How long who comes now would wait in turn, over the last moments, as a share of the target. 1 is twice the work that can
    /// be done.
    pub fn pressure(&self) -> f64 {
        self.pressure
    }

    /// How much is in work, how many wait, and how much may be in work.
    pub fn figures(&self) -> (usize, usize, usize) {
        (self.in_work, self.waiting, self.limit.get())
    }

    /// What a kind of work takes where little else is in work.
    pub fn alone(&self, kind: Kind) -> Option<Duration> {
        self.limit.alone(kind)
    }

    fn party(&mut self, who: &Arc<str>) -> &mut Party {
        self.parties.entry(Arc::clone(who)).or_default()
    }

    /// Nobody is remembered who has nothing here.
    fn tidy(&mut self, who: &str) {
        let Some(party) = self.parties.get_mut(who) else { return };
        if party.queue.is_empty() {
            party.standing = None;
            if party.in_work == 0 {
                self.parties.remove(who);
            }
        }
    }

    /// The party with most that waits loses its oldest, if the newcomer's has less.
    fn make_room(&mut self, who: &str) -> Result<(), Refusal> {
        let own = self.parties.get(who).map_or(0, |party| party.queue.len());
        let longest = self.parties.iter().max_by_key(|(_, party)| party.queue.len());
        let Some(name) = longest.filter(|(_, party)| party.queue.len() > own + 1).map(|(name, _)| Arc::clone(name))
        else {
            let is_alone = self.parties.values().filter(|party| !party.queue.is_empty()).count() <= 1;
            return Err(if is_alone { Refusal::Full } else { Refusal::Share });
        };
        if let Some(waiter) = self.parties.get_mut(&name).and_then(|party| party.queue.pop_front()) {
            self.waiting -= 1;
            // Nobody hears it who has left.
            let _ = waiter.verdict.send(Err(Refusal::Share));
        }
        Ok(())
    }

    /// Who is next: of those who wait, who has fewest in work; of these, who had a turn longest ago.
    fn next_party(&self) -> Option<Arc<str>> {
        let waiting = self.parties.iter().filter(|(_, party)| !party.queue.is_empty());
        waiting.min_by_key(|(_, party)| (party.in_work, party.turn)).map(|(name, _)| Arc::clone(name))
    }

    /// Gives a place to one of a party who is still there and still in time.
    fn call(&mut self, now: Instant, name: &str) {
        let interval = self.rules.interval;
        let Some(party) = self.parties.get_mut(name) else { return };
        let is_standing = party.standing.is_some_and(|since| now.saturating_duration_since(since) >= interval);
        while let Some(waiter) = if is_standing { party.queue.pop_back() } else { party.queue.pop_front() } {
            self.waiting -= 1;
            if waiter.deadline <= now {
                let _ = waiter.verdict.send(Err(Refusal::Late));
            } else if waiter.verdict.send(Ok(())).is_ok() {
                self.turns += 1;
                (party.in_work, party.turn) = (party.in_work + 1, self.turns);
                self.in_work += 1;
                return;
            }
        }
    }

    /// Notes the pressure of the time until now.
    fn look(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.looked);
        let wait = self.waiting as f64 * self.service / self.limit.get() as f64;
        let share = 1.0 - (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.pressure += share * (wait / self.rules.target.as_secs_f64() - self.pressure);
        self.looked = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Effort;

    const KIND: Kind = ("/work", Effort::Full);
    const RULES: Rules = Rules { queue: 8, interval: Duration::from_millis(100), target: Duration::from_millis(10) };

    /// A gate of one place, and a clock that moves when the test says so.
    struct Scene {
        gate: Gate,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let now = Instant::now();
            Self { gate: Gate::new(RULES, Limit::new(1, 1, now), now), now }
        }

        fn pass(&mut self, millis: u64) {
            self.now += Duration::from_millis(millis);
        }

        fn arrive(&mut self, who: &str) -> Arrival {
            self.gate.arrive(self.now, &who.into(), self.now + Duration::from_secs(10))
        }

        fn enter(&mut self, who: &str) {
            assert!(matches!(self.arrive(who), Arrival::Enters));
        }

        fn wait(&mut self, who: &str) -> Ticket {
            match self.arrive(who) {
                Arrival::Waits(ticket) => ticket,
                _ => panic!("{who} does not wait"),
            }
        }

        fn refused(&mut self, who: &str) -> Refusal {
            match self.arrive(who) {
                Arrival::Refused(refusal) => refusal,
                _ => panic!("{who} is not refused"),
            }
        }

        fn leave(&mut self, who: &str) {
            self.gate.leave(self.now, who, KIND, Some(Duration::from_millis(5)));
        }
    }

    fn told(ticket: &mut Ticket) -> Option<Result<(), Refusal>> {
        ticket.verdict.try_recv().ok()
    }

    #[test]
    fn one_waits_in_turn_until_a_place_is_free() {
        let mut scene = Scene::new();
        scene.enter("a");
        let (mut first, mut second) = (scene.wait("a"), scene.wait("a"));
        assert_eq!(first.until, scene.now + RULES.interval);
        scene.pass(5);
        scene.leave("a");
        assert_eq!((told(&mut first), told(&mut second)), (Some(Ok(())), None));
        scene.leave("a");
        assert_eq!(told(&mut second), Some(Ok(())));
        scene.leave("a");
        assert_eq!(scene.gate.figures(), (0, 0, 1));
        assert!(scene.gate.parties.is_empty(), "nobody is remembered");
    }

    #[test]
    fn in_a_queue_that_stands_the_newest_goes_first_and_waits_shortly() {
        let mut scene = Scene::new();
        scene.enter("a");
        let mut old = scene.wait("a");
        scene.pass(100);
        let mut new = scene.wait("a");
        assert_eq!(new.until, scene.now + RULES.target);
        scene.leave("a");
        assert_eq!((told(&mut old), told(&mut new)), (None, Some(Ok(()))));
        assert!(scene.gate.give_up(scene.now, "a", old.number));
        assert!(!scene.gate.give_up(scene.now, "a", old.number));
        // It was empty for a moment: all is as before.
        let fresh = scene.wait("a");
        assert_eq!(fresh.until, scene.now + RULES.interval);
    }

    #[test]
    fn who_asks_much_delays_another_by_one_piece_of_work() {
        let mut scene = Scene::new();
        scene.enter("noisy");
        let mut noisy: Vec<Ticket> = (0..6).map(|_| scene.wait("noisy")).collect();
        let mut quiet = scene.wait("quiet");
        scene.leave("noisy");
        assert_eq!(told(&mut quiet), Some(Ok(())));
        assert!(noisy.iter_mut().all(|ticket| told(ticket).is_none()));
        scene.leave("quiet");
        assert_eq!(told(&mut noisy[0]), Some(Ok(())));
    }

    #[test]
    fn in_a_full_queue_who_has_most_makes_room_for_who_has_less() {
        let mut scene = Scene::new();
        scene.enter("noisy");
        let mut noisy: Vec<Ticket> = (0..RULES.queue).map(|_| scene.wait("noisy")).collect();
        assert_eq!(scene.refused("noisy"), Refusal::Full);
        let _quiet = scene.wait("quiet");
        assert_eq!(told(&mut noisy[0]), Some(Err(Refusal::Share)));
        assert!(noisy[1..].iter_mut().all(|ticket| told(ticket).is_none()));
        assert_eq!(scene.refused("noisy"), Refusal::Share);
        assert_eq!(scene.gate.figures().1, RULES.queue);
    }

    #[test]
    fn who_has_left_or_is_late_is_passed_over() {
        let mut scene = Scene::new();
        scene.enter("a");
        drop(scene.wait("a"));
        let deadline = scene.now + Duration::from_millis(1);
        let Arrival::Waits(mut late) = scene.gate.arrive(scene.now, &"a".into(), deadline) else { panic!("no queue") };
        assert_eq!(late.until, deadline);
        let mut patient = scene.wait("a");
        scene.pass(2);
        scene.leave("a");
        assert_eq!((told(&mut late), told(&mut patient)), (Some(Err(Refusal::Late)), Some(Ok(()))));
        let passed = scene.gate.arrive(scene.now, &"a".into(), scene.now);
        assert!(matches!(passed, Arrival::Refused(Refusal::Late)));
    }

    #[test]
    fn pressure_rises_with_what_waits_and_is_gone_when_nothing_does() {
        let mut scene = Scene::new();
        // What work takes is learned first: 5 ms.
        for _ in 0..100 {
            scene.enter("a");
            scene.leave("a");
        }
        scene.enter("a");
        let tickets: Vec<Ticket> = (0..4).map(|_| scene.wait("a")).collect();
        assert!(scene.gate.pressure() < 0.1, "a burst is no overload: {}", scene.gate.pressure());
        scene.pass(300);
        let fifth = scene.wait("a");
        let pressure = scene.gate.pressure();
        assert!((1.7..2.0).contains(&pressure), "four that take 5 ms each wait 20 ms, twice the target: {pressure}");
        for ticket in tickets.iter().chain([&fifth]) {
            assert!(scene.gate.give_up(scene.now, "a", ticket.number));
        }
        scene.pass(1_000);
        scene.leave("a");
        assert!(scene.gate.pressure() < 0.01, "{}", scene.gate.pressure());
    }
}
