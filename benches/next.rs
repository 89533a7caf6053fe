//! Is it worth places of an answer to say what people take next? A replay of the last fifth of MovieLens-100K: everybody who
//! comes back is asked for before each film they liked, with what they did before it as their session; the share of these
//! films that is among the first ten and twenty, for several `recommend.next_share`. See `benches/next.sh`.

use std::collections::BTreeMap;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::{Config, Engine, Event, Item, Query, SessionItem, Timestamp, TrainOptions, User};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SHARES: [f64; 4] = [0.0, 0.1, 0.2, 0.4];
const LIKED: f64 = 4.0;
/// Films of a person that are asked for, the first ones.
const ASKED: usize = 20;
/// Films of the session that a question names.
const SESSION: usize = 10;
const SEED: u64 = 20;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let films = Path::new(value("--films").ok_or("--films DIR is missing")?);
    let (before, later) = events(films)?;
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let engine = Engine::open(&data, Config::default())?;
    engine.put_items(&items(films)?)?;
    let users: Vec<User> = later.keys().map(|user| User::new(user.as_str())).collect();
    engine.put_users(&users)?;
    engine.append_events(&before)?;
    engine.activate(engine.train(&TrainOptions { measure: false, ..TrainOptions::default() })?)?;
    drop(engine);
    let mut line = Vec::new();
    for has_ranker in [false, true] {
        let mut plain: Option<Vec<f64>> = None;
        for share in SHARES {
            let mut config = Config::default();
            config.recommend.next_share = share;
            config.ranker.enabled = has_ranker;
            let [ten, twenty] = hits(&Engine::open(&data, config)?, &later)?;
            let against = plain.get_or_insert_with(|| ten.clone());
            let difference: Vec<f64> = ten.iter().zip(against.iter()).map(|(a, b)| a - b).collect();
            let (low, high) = interval(&difference);
            let name = if has_ranker { "ranked" } else { "retrieval" };
            println!(
                "{name:>9}, next_share {share:.1}: hit@10 {:.4} ({:+.4}, {low:+.4} to {high:+.4}), hit@20 {:.4}, {} people",
                mean(&ten),
                mean(&difference),
                mean(&twenty),
                ten.len()
            );
            line.push(format!("{name}_{share:.1}={:.4}", mean(&ten)));
        }
    }
    println!("next {}", line.join(" "));
    Ok(())
}

/// What each person liked, in order.
type Liked = BTreeMap<String, Vec<String>>;

/// For each person, the share of the films that was among the first ten, and the first twenty.
fn hits(engine: &Engine, later: &Liked) -> Outcome<[Vec<f64>; 2]> {
    let [mut ten, mut twenty] = [Vec::new(), Vec::new()];
    for (user, liked) in later {
        let asked = liked.iter().enumerate().skip(1).take(ASKED);
        let (mut of_ten, mut of_twenty, mut count) = (0.0, 0.0, 0.0);
        for (place, film) in asked {
            let entry = |item: &String| SessionItem { item: item.clone(), kind: "view".into(), value: None };
            let found = |limit: usize| -> Outcome<f64> {
                let session = liked[place.saturating_sub(SESSION)..place].iter().map(entry).collect();
                let seen = liked[..place].to_vec();
                let query = Query { session, limit, exclude_items: seen, ..Query::for_user(user) };
                Ok(f64::from(u8::from(engine.recommend(&query)?.items.iter().any(|item| item.item == *film))))
            };
            of_ten += found(10)?;
            of_twenty += found(20)?;
            count += 1.0;
        }
        if count > 0.0 {
            ten.push(of_ten / count);
            twenty.push(of_twenty / count);
        }
    }
    Ok([ten, twenty])
}

/// The first four fifths, moved so that the last comes just now; and what each person liked after that, in order.
fn events(films: &Path) -> Outcome<(Vec<Event>, Liked)> {
    let text = std::fs::read_to_string(films.join("ml-100k.inter"))?;
    let mut rows = Vec::new();
    for row in text.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [user, item, rating, time] = fields[..] else { return Err("a rating has not four fields".into()) };
        rows.push((time.parse::<f64>()? as i64 * 1000, user.to_owned(), item.to_owned(), rating.parse::<f64>()?));
    }
    rows.sort_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)));
    let (before, after) = rows.split_at(rows.len() * 4 / 5);
    let shift = Timestamp::now().millis() - after.first().ok_or("there are no ratings")?.0;
    let mut events = Vec::new();
    for (time, user, item, rating) in before {
        let event = Event::new(user, item, "rating").with_value(*rating);
        events.push(event.at(Timestamp::from_millis(time + shift)?));
    }
    let mut later = Liked::new();
    for (_, user, item, _) in after.iter().filter(|(.., rating)| *rating >= LIKED) {
        later.entry(user.clone()).or_default().push(item.clone());
    }
    Ok((events, later))
}

fn items(films: &Path) -> Outcome<Vec<Item>> {
    let text = std::fs::read_to_string(films.join("ml-100k.item"))?;
    let item = |row: &str| {
        let fields: Vec<&str> = row.split('\t').collect();
        let mut item = Item::new(*fields.first()?);
        item.categories = fields.get(3)?.split(' ').filter(|genre| !genre.is_empty()).map(str::to_owned).collect();
        Some(item)
    };
    Ok(text.lines().skip(1).filter_map(item).collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The 95 % interval of a mean over resampled people.
fn interval(values: &[f64]) -> (f64, f64) {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let one = |random: &mut ChaCha8Rng| values.get(random.random_range(0..values.len())).copied().unwrap_or(0.0);
    let mut means: Vec<f64> =
        (0..1000).map(|_| (0..values.len()).map(|_| one(&mut random)).sum::<f64>() / values.len() as f64).collect();
    means.sort_by(f64::total_cmp);
    (means[25], means[974])
}
