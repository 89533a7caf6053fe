//! A world in which tastes turn.

use savor::{Config, Engine, Event};

use crate::support::{GROUP, GROUPS, USERS, item, items, time};

/// An engine in a fresh directory: 40 rounds, and from the 24th on everybody likes another group.
pub fn turning(dir: &std::path::Path, config: Config) -> Engine {
    let engine = Engine::open(dir, config).unwrap();
    engine.put_items(&items()).unwrap();
    let round = |round: usize| {
        let group = move |user: usize| (user + usize::from(round >= 24)) % GROUPS;
        let name = move |user: usize| item(group(user), (user * 7 + round * 3) % GROUP);
        let at = move |user: usize| time((round * USERS + user) as i64);
        (0..USERS).map(move |user| Event::new(format!("u{user}"), name(user), "click").at(at(user)))
    };
    engine.append_events(&(0..40).flat_map(round).collect::<Vec<_>>()).unwrap();
    engine
}
