//! A small world with taste: users of one group like the items of that group, so that a model has something to learn
//! and a test something to expect. Seeded; no two tests share state.

mod random;

use savor::{Config, Engine, Event, Item, Timestamp};

pub use random::Random;

/// Items of each group.
pub const GROUP: usize = 20;
/// Groups of users and items.
pub const GROUPS: usize = 4;
/// Users.
pub const USERS: usize = 80;
/// The time of the first event: 2026-01-01.
pub const START: i64 = 1_767_225_600_000;

/// A configuration that trains a small world in milliseconds and syncs nothing.
pub fn config() -> Config {
    Config::from_toml(
        "[train]\ndimension = 8\nepochs = 8\nunobserved_weight = 0.1\nregularization = 0.01\n\
         regularization_exponent = 1.0\n\
         [store]\ndurability = \"async\"\n[evaluate]\nbootstrap = 20\n",
    )
    .unwrap()
}

/// The name of the `place`-th item of a group.
pub fn item(group: usize, place: usize) -> String {
    format!("g{group}-{place}")
}

/// All items, each with its group as category and its place as a number.
pub fn items() -> Vec<Item> {
    (0..GROUPS)
        .flat_map(|group| (0..GROUP).map(move |place| (group, place)))
        .map(|(group, place)| {
            let mut made = Item::new(item(group, place));
            made.categories = vec![format!("group{group}")];
            made.attributes.insert("place".into(), (place as f64).into());
            made.attributes.insert("title".into(), format!("Item {place} of group {group}").into());
            made
        })
        .collect()
}

/// Ten events for each user: eight within the user's group, two anywhere. One second lies between events.
pub fn events() -> Vec<Event> {
    let mut random = Random(7);
    let mut events = Vec::new();
    for round in 0..10 {
        for user in 0..USERS {
            let group = if round % 5 == 4 { random.below(GROUPS) } else { user % GROUPS };
            let name = item(group, random.below(GROUP));
            events.push(Event::new(format!("u{user}"), name, "click").at(time(events.len() as i64)));
        }
    }
    events
}

/// So many seconds after the start.
pub fn time(seconds: i64) -> Timestamp {
    Timestamp::from_millis(START + seconds * 1000).unwrap()
}

/// An engine in a fresh directory that holds the small world.
pub fn world(dir: &std::path::Path) -> Engine {
    let engine = Engine::open(dir, config()).unwrap();
    engine.put_items(&items()).unwrap();
    engine.append_events(&events()).unwrap();
    engine
}
