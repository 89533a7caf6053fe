//! Who is connected and what each connection is doing, so that a full server lets go of one that does nothing for one that
//! may ask. A connection is *idle* between requests, at its *head* while one arrives, at its *body*, and at *work* until its answer is
//! made; one at work is never closed for another.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

/// All open connections.
pub struct Connections {
    most: usize,
    most_of_address: usize,
    start: Instant,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    open: FxHashMap<u64, Arc<Peer>>,
    of_address: FxHashMap<IpAddr, usize>,
}

/// One connection.
pub struct Peer {
    number: u64,
    address: IpAddr,
    start: Instant,
    /// Milliseconds since `start` at which the phase began, and in the lowest two bits the phase.
    phase: AtomicU64,
    closing: Notify,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Body,
    Work,
}

/// Why nobody comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All connections are at work: one has to wait.
    Everywhere,
    /// The address has as many as it may, all at work.
    Address,
}

impl Connections {
    /// At most so many, and so many of one address (0: of one as many as of all).
    pub fn new(most: usize, most_of_address: usize) -> Self {
        let most_of_address = if most_of_address == 0 { usize::MAX } else { most_of_address };
        Self { most, most_of_address, start: Instant::now(), state: Mutex::default(), freed: Notify::new() }
    }

    /// A new connection, and whether another had to go for it.
    pub fn open(&self, address: IpAddr) -> Result<(Arc<Peer>, bool), Full> {
        let mut state = self.state.lock();
        let mut has_evicted = false;
        if state.of_address.get(&address).is_some_and(|count| *count >= self.most_of_address) {
            let idlest = state.idlest(|peer| peer.address == address).ok_or(Full::Address)?;
            state.close(&idlest);
            has_evicted = true;
        }
        if state.open.len() >= self.most {
            // Whoever has most connections loses one, if any of them does nothing.
            let heaviest = state.of_address.iter().max_by_key(|(_, count)| **count).map(|(address, _)| *address);
            let of_heaviest = heaviest.and_then(|heaviest| state.idlest(|peer| peer.address == heaviest));
            let idlest = of_heaviest.or_else(|| state.idlest(|_| true)).ok_or(Full::Everywhere)?;
            state.close(&idlest);
            has_evicted = true;
        }
        state.next += 1;
        let peer = Arc::new(Peer {
            number: state.next,
            address,
            start: self.start,
            phase: AtomicU64::new(0),
            closing: Notify::new(),
        });
        // Who connects is expected to say something.
        peer.enter(Phase::Head);
        state.open.insert(peer.number, Arc::clone(&peer));
        *state.of_address.entry(address).or_default() += 1;
        Ok((peer, has_evicted))
    }

    /// Waits until a connection has ended, or could be closed for another.
    pub async fn freed(&self) {
        // A connection that becomes idle tells nobody: it is looked for again.
        let _ = tokio::time::timeout(Duration::from_millis(20), self.freed.notified()).await;
    }

    /// A connection has ended.
    pub fn ended(&self, peer: &Peer) {
        self.state.lock().forget(peer);
        self.freed.notify_one();
    }

    /// Closes connections whose request's head has not arrived within `patience`; tells how many.
    pub fn close_slow(&self, patience: Duration) -> usize {
        let mut state = self.state.lock();
        let now = millis(self.start.elapsed());
        let is_slow = |peer: &&Arc<Peer>| {
            let (phase, since) = peer.phase();
            phase == Phase::Head && now.saturating_sub(since) > millis(patience)
        };
        let slow: Vec<Arc<Peer>> = state.open.values().filter(is_slow).cloned().collect();
        slow.iter().for_each(|peer| state.close(peer));
        slow.len()
    }
}

impl State {
    /// The connection that has done nothing for longest, of some.
    fn idlest(&self, of: impl Fn(&Peer) -> bool) -> Option<Arc<Peer>> {
        let idle = self.open.values().filter(|peer| peer.phase().0 != Phase::Work && of(peer));
        idle.min_by_key(|peer| (peer.phase().1, peer.number)).cloned()
    }

    fn close(&mut self, peer: &Peer) {
        self.forget(peer);
        peer.closing.notify_one();
    }

    fn forget(&mut self, peer: &Peer) {
        if self.open.remove(&peer.number).is_none() {
            return;
        }
        if let Some(count) = self.of_address.get_mut(&peer.address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&peer.address);
            }
        }
    }
}

impl Peer {
    /// Ready when the server wants the connection closed.
    pub async fn closing(&self) {
        self.closing.notified().await;
    }

    /// Bytes have arrived.
    pub fn hears(&self) {
        if self.phase().0 == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// A request's head has arrived; until the guard is dropped its answer is being made.
    pub fn asks(self: &Arc<Self>) -> Asking {
        self.enter(Phase::Body);
        Asking(Arc::clone(self))
    }

    fn phase(&self) -> (Phase, u64) {
        let packed = self.phase.load(Ordering::Relaxed);
        let phase = match packed & 3 {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Body,
            _ => Phase::Work,
        };
        (phase, packed >> 2)
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(millis(self.start.elapsed()) << 2 | phase as u64, Ordering::Relaxed);
    }
}

/// A request of a connection.
pub struct Asking(Arc<Peer>);

impl Asking {
    /// Where it comes from.
    pub fn from(&self) -> IpAddr {
        self.0.address
    }

    /// The whole request has arrived.
    pub fn is_read(&self) {
        self.0.enter(Phase::Work);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    /// As if the phase had begun so many milliseconds ago.
    fn since(peer: &Peer, phase: Phase, at: u64) {
        peer.phase.store(at << 2 | phase as u64, Ordering::Relaxed);
    }

    fn is_closing(peer: &Peer) -> bool {
        let mut closing = std::pin::pin!(peer.closing());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        closing.as_mut().poll(&mut cx).is_ready()
    }

    #[test]
    fn the_idlest_makes_room_and_never_one_at_work() {
        let connections = Connections::new(3, 0);
        let peers: Vec<_> = (0..3).map(|_| connections.open(HERE).unwrap().0).collect();
        since(&peers[0], Phase::Work, 0);
        since(&peers[1], Phase::Idle, 7);
        since(&peers[2], Phase::Body, 5);
        let (fourth, has_evicted) = connections.open(HERE).unwrap();
        assert!(has_evicted && is_closing(&peers[2]) && !is_closing(&peers[1]));
        since(&fourth, Phase::Work, 0);
        since(&peers[1], Phase::Work, 0);
        assert_eq!(connections.open(THERE).err(), Some(Full::Everywhere));
        connections.ended(&fourth);
        assert!(!connections.open(THERE).unwrap().1);
    }

    #[test]
    fn who_has_most_connections_loses_one_first() {
        let connections = Connections::new(3, 0);
        let alone = connections.open(THERE).unwrap().0;
        let many: Vec<_> = (0..2).map(|_| connections.open(HERE).unwrap().0).collect();
        since(&alone, Phase::Idle, 0);
        since(&many[0], Phase::Idle, 9);
        since(&many[1], Phase::Idle, 8);
        connections.open(THERE).unwrap();
        assert!(!is_closing(&alone) && is_closing(&many[1]));
    }

    #[test]
    fn an_address_has_its_share() {
        let connections = Connections::new(100, 2);
        let first = connections.open(HERE).unwrap().0;
        let second = connections.open(HERE).unwrap().0;
        since(&first, Phase::Work, 0);
        since(&second, Phase::Idle, 0);
        assert!(connections.open(HERE).unwrap().1 && is_closing(&second));
        let third = connections.state.lock().open.values().find(|peer| peer.number == 3).cloned().unwrap();
        since(&third, Phase::Work, 0);
        assert_eq!(connections.open(HERE).err(), Some(Full::Address));
        assert!(connections.open(THERE).is_ok());
    }

    #[test]
    fn what_has_ended_counts_no_more_and_a_slow_head_is_closed() {
        let connections = Connections::new(10, 0);
        let (peer, _) = connections.open(HERE).unwrap();
        since(&peer, Phase::Idle, 0);
        assert_eq!(connections.close_slow(Duration::ZERO), 0, "an idle one is not slow");
        drop(peer.asks());
        peer.hears();
        assert_eq!(peer.phase().0, Phase::Head);
        assert_eq!(connections.close_slow(Duration::from_secs(3_600)), 0);
        since(&peer, Phase::Head, 0);
        let later = Connections { start: Instant::now() - Duration::from_secs(60), ..connections };
        assert_eq!(later.close_slow(Duration::from_secs(10)), 1);
        later.ended(&peer);
        let state = later.state.lock();
        assert!(state.open.is_empty() && state.of_address.is_empty());
    }
}
