//! Cold start. On MovieLens-100K: new films, known by metadata alone, asked for by the people who liked them; and new
//! people, known by their profile and by 0, 1, 2 and 5 events, drawn at random or those who came after the training. On Gowalla: new users known by 1, 2 and 5 events. Everything
//! goes through the engine's face, beside what one could do without a model. See `benches/coldstart.sh`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::{
    Config, Durability, Engine, Event, ExcludeSeen, Filter, HasIdCondition, Item, Query, SessionItem, Timestamp,
    TrainOptions, User,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SEED: u64 = 20;
const K: usize = 20;
/// A tenth of the films is new in each round, each film once.
const ITEM_FOLDS: usize = 10;
/// A fifth of the people is new in each round, each person once.
const USER_FOLDS: usize = 5;
/// A person's first events are what is known; the rest is to be found.
const KNOWN: [usize; 4] = [0, 1, 2, 5];
const MOST_KNOWN: usize = 5;
/// Users of Gowalla that training has not seen.
const NEW_USERS: usize = 3_000;
/// The fewest liked films of a test user.
const LEAST_LIKED: usize = MOST_KNOWN + 1;
/// Moments at which people arrive, in tenths of the events.
const ARRIVALS: [usize; 5] = [5, 6, 7, 8, 9];
/// So many first events of a new film are sent.
const FIRST_EVENTS: usize = 5;
/// The last rating of MovieLens-100K. All are moved as if that had just come: whoever asks now asks about what was recent then.
const LAST: i64 = 893_286_638_000;
const LIKED: f64 = 4.0;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let films = Films::read(Path::new(value("--films").ok_or("--films DIR is missing")?))?;
    if let Some(file) = value("--config") {
        let given = Config::from_toml(&std::fs::read_to_string(file)?)?;
        CONFIG.get_or_init(|| given);
    }
    let wanted = |part: &str| value("--only").is_none_or(|only| only == part);
    let mut line = Vec::new();
    if wanted("items") {
        line.extend(new_items(&films)?);
    }
    if wanted("people") {
        line.extend(new_people(&films)?);
    }
    if wanted("arriving") {
        line.extend(arriving_people(&films)?);
    }
    match value("--gowalla") {
        _ if !wanted("gowalla") => {}
        Some(folder) => line.extend(gowalla(Path::new(folder))?),
        None => eprintln!("Gowalla is left out: --data DIR names the folder of train.txt.gz and test.txt.gz"),
    }
    println!("coldstart {}", line.join(" "));
    Ok(())
}

/// MovieLens-100K.
struct Films {
    items: BTreeMap<String, Item>,
    users: BTreeMap<String, User>,
    /// In the order of time.
    events: Vec<Event>,
}

impl Films {
    fn read(folder: &Path) -> Outcome<Self> {
        let rows = |file: &str| -> Outcome<Vec<Vec<String>>> {
            let text = std::fs::read_to_string(folder.join(file))?;
            Ok(text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect())
        };
        let (mut items, mut users, mut events) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for row in rows("ml-100k.item")? {
            let [id, title, year, genres] = &row[..] else { return Err("a film has not four fields".into()) };
            let mut item = Item::new(id);
            item.categories = genres.split(' ').filter(|genre| !genre.is_empty()).map(str::to_owned).collect();
            item.attributes.insert("title".into(), title.as_str().into());
            item.attributes.extend(year.parse::<f64>().ok().map(|year| ("year".into(), year.into())));
            items.insert(id.clone(), item);
        }
        for row in rows("ml-100k.user")? {
            let [id, age, gender, occupation, zip] = &row[..] else { return Err("a user has not five fields".into()) };
            let mut user = User::new(id);
            user.attributes.extend(age.parse::<f64>().ok().map(|age| ("age".into(), age.into())));
            for (name, value) in [("gender", gender), ("occupation", occupation), ("zip", zip)] {
                user.attributes.insert(name.into(), value.as_str().into());
            }
            users.insert(id.clone(), user);
        }
        let since = Timestamp::now().millis() - LAST;
        for row in rows("ml-100k.inter")? {
            let [user, item, rating, time] = &row[..] else { return Err("a rating has not four fields".into()) };
            let time = Timestamp::from_millis(time.parse::<f64>()? as i64 * 1000 + since)?;
            let mut event = Event::new(user, item, "rating").at(time);
            event.value = Some(rating.parse()?);
            events.push(event);
        }
        events.sort_by(|a, b| (a.time, &a.user, &a.item).cmp(&(b.time, &b.user, &b.item)));
        Ok(Self { items, users, events })
    }

    fn likes(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.value.is_some_and(|rating| rating >= LIKED))
    }
}

/// What `--config` names, else the defaults.
static CONFIG: OnceLock<Config> = OnceLock::new();

fn config() -> Config {
    let mut config = CONFIG.get().cloned().unwrap_or_default();
    config.store.durability = Durability::Async;
    config
}

/// An engine that has been trained on these, and answers.
fn trained(dir: &Path, users: &[User], items: &[Item], events: &[Event]) -> Outcome<Engine> {
    let engine = Engine::open(dir, config())?;
    engine.put_users(users)?;
    engine.put_items(items)?;
    engine.append_events(events)?;
    engine.activate(engine.train(&TrainOptions { measure: false, ..TrainOptions::default() })?)?;
    Ok(engine)
}

/// Recall@20 of one method, by test user.
#[derive(Default)]
struct Recalls(BTreeMap<String, Vec<f64>>);

impl Recalls {
    fn add(&mut self, user: &str, recall: f64) {
        self.0.entry(user.to_owned()).or_default().push(recall);
    }

    /// The mean, and the 95 % interval over resampled users.
    fn mean(&self) -> (f64, f64, f64) {
        let users: Vec<(f64, f64)> = self.0.values().map(|of| (of.iter().sum(), of.len() as f64)).collect();
        let ratio = |users: &mut dyn Iterator<Item = &(f64, f64)>| {
            let (sum, count) = users.fold((0.0, 0.0), |total, one| (total.0 + one.0, total.1 + one.1));
            if count > 0.0 { sum / count } else { 0.0 }
        };
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let mut means: Vec<f64> = (0..1000)
            .map(|_| ratio(&mut (0..users.len()).map(|_| &users[random.random_range(0..users.len())])))
            .collect();
        means.sort_by(f64::total_cmp);
        (ratio(&mut users.iter()), means[25], means[974])
    }
}

fn table(title: &str, rows: &[(&str, &str, &Recalls)]) -> Vec<String> {
    eprintln!("\n{title}");
    let mut line = Vec::new();
    for (key, what, recalls) in rows {
        let (mean, low, high) = recalls.mean();
        eprintln!("  {what:<72} {mean:.4}  [{low:.4}, {high:.4}]  {} users", recalls.0.len());
        line.push(format!("{key}={mean:.4}"));
    }
    line
}

fn recall<'a>(found: impl Iterator<Item = &'a str>, wanted: &BTreeSet<&str>) -> f64 {
    found.take(K).filter(|item| wanted.contains(item)).count() as f64 / wanted.len() as f64
}

fn answered(answer: &savor::Answer) -> impl Iterator<Item = &str> {
    answer.items.iter().map(|item| item.item.as_str())
}

/// Names by descending score; equal ones in an order that says nothing.
fn ranked<'a>(names: &[&'a str], score: impl Fn(&str) -> f64, random: &mut ChaCha8Rng) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.shuffle(random);
    names.sort_by(|a, b| score(b).total_cmp(&score(a)));
    names
}

fn new_items(films: &Films) -> Outcome<Vec<String>> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut names: Vec<&str> = films.items.keys().map(String::as_str).collect();
    names.shuffle(&mut random);
    let users: Vec<User> = films.users.values().cloned().collect();
    let [mut model, mut chance, mut popular, mut genre, mut known] = [(); 5].map(|()| Recalls::default());
    let [mut heard_model, mut heard_count] = [(); 2].map(|()| Recalls::default());
    let [mut all_model, mut all_chance, mut all_genre] = [(); 3].map(|()| Recalls::default());
    for fold in 0..ITEM_FOLDS {
        let hidden: Vec<&str> = names.iter().skip(fold).step_by(ITEM_FOLDS).copied().collect();
        let is_hidden: BTreeSet<&str> = hidden.iter().copied().collect();
        let warm: Vec<Item> =
            films.items.values().filter(|item| !is_hidden.contains(item.id.as_str())).cloned().collect();
        let events: Vec<Event> =
            films.events.iter().filter(|event| !is_hidden.contains(event.item.as_str())).cloned().collect();
        let dir = tempfile::tempdir()?;
        let engine = trained(&dir.path().join("data"), &users, &warm, &events)?;
        // After the training: they come into the delta segment.
        engine.put_items(&hidden.iter().map(|name| films.items[*name].clone()).collect::<Vec<_>>())?;
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut liked: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        let mut counts: HashMap<&str, f64> = HashMap::new();
        for event in films.likes() {
            *counts.entry(&event.item).or_default() += 1.0;
            if is_hidden.contains(event.item.as_str()) {
                wanted.entry(&event.user).or_default().insert(&event.item);
            } else {
                liked.entry(&event.user).or_default().insert(&event.item);
            }
        }
        let genres = |name: &str| &films.items[name].categories;
        let mut of_genre: HashMap<&str, (f64, f64)> = HashMap::new();
        for item in &warm {
            for genre in &item.categories {
                let (sum, count) = of_genre.entry(genre).or_default();
                *sum += counts.get(item.id.as_str()).copied().unwrap_or(0.0);
                *count += 1.0;
            }
        }
        let by_genre = |name: &str| {
            let means = genres(name).iter().filter_map(|genre| of_genre.get(genre.as_str())).map(|(sum, n)| sum / n);
            means.sum::<f64>() / genres(name).len().max(1) as f64
        };
        let only_new = Filter {
            must: vec![savor::Condition::HasId(HasIdCondition {
                has_id: hidden.iter().map(|n| (*n).into()).collect(),
            })],
            ..Filter::default()
        };
        for (user, wanted) in &wanted {
            let Some(liked) = liked.get(user) else { continue };
            let mut taste: HashMap<&str, f64> = HashMap::new();
            for name in liked {
                let length = (genres(name).len() as f64).sqrt();
                genres(name).iter().for_each(|genre| *taste.entry(genre).or_default() += 1.0 / length);
            }
            let nearness = |name: &str| {
                let common: f64 = genres(name).iter().filter_map(|genre| taste.get(genre.as_str())).sum();
                common / (genres(name).len().max(1) as f64).sqrt()
            };
            let asked = Query { limit: K, ..Query::for_user(*user) };
            let answer = engine.recommend(&Query { filter: Some(only_new.clone()), ..asked.clone() })?;
            model.add(user, recall(answered(&answer), wanted));
            chance.add(user, (K as f64 / hidden.len() as f64).min(1.0));
            popular.add(user, recall(ranked(&hidden, by_genre, &mut random).into_iter(), wanted));
            known.add(
                user,
                recall(
                    ranked(&hidden, |name| counts.get(name).copied().unwrap_or(0.0), &mut random).into_iter(),
                    wanted,
                ),
            );
            genre.add(user, recall(ranked(&hidden, nearness, &mut random).into_iter(), wanted));
            let answer = engine.recommend(&asked)?;
            all_model.add(user, recall(answered(&answer), wanted));
            let unseen: Vec<&str> = names.iter().filter(|name| !liked.contains(*name)).copied().collect();
            all_chance.add(user, K as f64 / unseen.len() as f64);
            all_genre.add(user, recall(ranked(&unseen, nearness, &mut random).into_iter(), wanted));
        }
        // The first events of the new films; those who sent them are not asked about them.
        let mut first: HashMap<&str, Vec<&Event>> = HashMap::new();
        for event in films.likes().filter(|event| is_hidden.contains(event.item.as_str())) {
            let of_item = first.entry(&event.item).or_default();
            if of_item.len() < FIRST_EVENTS {
                of_item.push(event);
            }
        }
        let sent: BTreeSet<(&str, &str)> =
            first.values().flatten().map(|event| (event.user.as_str(), event.item.as_str())).collect();
        for event in first.values().flatten() {
            engine.append_events(&[Event { time: None, ..(*event).clone() }])?;
        }
        for (user, wanted) in &wanted {
            let wanted: BTreeSet<&str> =
                wanted.iter().filter(|item| !sent.contains(&(*user, **item))).copied().collect();
            if wanted.is_empty() || !liked.contains_key(user) {
                continue;
            }
            let query = Query { filter: Some(only_new.clone()), limit: K, ..Query::for_user(*user) };
            heard_model.add(user, recall(answered(&engine.recommend(&query)?), &wanted));
            let events = |name: &str| first.get(name).map_or(0.0, |of| of.len() as f64);
            heard_count.add(user, recall(ranked(&hidden, events, &mut random).into_iter(), &wanted));
        }
        eprintln!("films: round {} of {ITEM_FOLDS}", fold + 1);
    }
    let mut line = table(
        "New films (a tenth hidden from training), Recall@20 among the new ones",
        &[
            ("cold_item_recall@20", "Savor, from metadata", &model),
            ("random", "random (expected)", &chance),
            ("popular", "mean popularity of the known films of the same genres", &popular),
            ("genre", "nearest genres of what the user liked", &genre),
            ("popular_known", "popularity, if it were known", &known),
        ],
    );
    line.extend(table(
        "The same films after their first five events, of other people",
        &[
            ("cold_item_5", "Savor, from metadata and events", &heard_model),
            ("events_5", "those with the most events", &heard_count),
        ],
    ));
    line.extend(table(
        "The same films in one list with all that the user has not liked yet",
        &[
            ("all_recall@20", "Savor", &all_model),
            ("all_random", "random (expected)", &all_chance),
            ("all_genre", "nearest genres of what the user liked", &all_genre),
        ],
    ));
    Ok(line)
}

fn new_people(films: &Films) -> Outcome<Vec<String>> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED + 1);
    let mut names: Vec<&str> = films.users.keys().map(String::as_str).collect();
    names.shuffle(&mut random);
    let items: Vec<Item> = films.items.values().cloned().collect();
    let mut by_known = KNOWN.map(|_| Recalls::default());
    let mut popular = KNOWN.map(|_| Recalls::default());
    for fold in 0..USER_FOLDS {
        let is_new: BTreeSet<&str> = names.iter().skip(fold).step_by(USER_FOLDS).copied().collect();
        let users: Vec<User> =
            films.users.values().filter(|user| !is_new.contains(user.id.as_str())).cloned().collect();
        let events: Vec<Event> =
            films.events.iter().filter(|event| !is_new.contains(event.user.as_str())).cloned().collect();
        let dir = tempfile::tempdir()?;
        let engine = trained(&dir.path().join("data"), &users, &items, &events)?;
        engine.put_users(&is_new.iter().map(|name| films.users[*name].clone()).collect::<Vec<_>>())?;
        let mut counts: HashMap<&str, f64> = HashMap::new();
        let mut liked: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for event in films.likes() {
            if is_new.contains(event.user.as_str()) {
                liked.entry(&event.user).or_default().push(&event.item);
            } else {
                *counts.entry(&event.item).or_default() += 1.0;
            }
        }
        let all: Vec<&str> = counts.keys().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let most = ranked(&all, |name| counts[name], &mut random);
        for (user, liked) in liked.iter().filter(|(_, liked)| liked.len() >= LEAST_LIKED) {
            let (first, rest) = liked.split_at(MOST_KNOWN);
            let wanted: BTreeSet<&str> = rest.iter().copied().collect();
            for ((known, recalls), popular) in KNOWN.iter().zip(&mut by_known).zip(&mut popular) {
                let known = &first[..*known];
                let answer = engine.recommend(&with_session(Some(user), known))?;
                recalls.add(user, recall(answered(&answer), &wanted));
                let unseen = most.iter().filter(|name| !known.contains(*name)).copied();
                popular.add(user, recall(unseen, &wanted));
            }
        }
        eprintln!("people: round {} of {USER_FOLDS}", fold + 1);
    }
    let [zero, one, two, five] = &by_known;
    let [popular, after_one, .., after_five] = &popular;
    Ok(table(
        "New people, Recall@20 of what they liked after their first five films",
        &[
            ("cold_user_0", "Savor, from age, gender, occupation and zip code", zero),
            ("cold_user_1", "Savor, and from the first film", one),
            ("cold_user_2", "Savor, and from two films", two),
            ("cold_user_5", "Savor, and from five films", five),
            ("popular_user", "popularity", popular),
            ("popular_user_1", "popularity without the first film", after_one),
            ("popular_user_5", "popularity without the first five", after_five),
        ],
    ))
}

/// People whom the log has not met yet: at five moments, of those whose first event comes in the tenth of the log after it.
/// Training knows what was before the moment, which is now.
fn arriving_people(films: &Films) -> Outcome<Vec<String>> {
    let items: Vec<Item> = films.items.values().cloned().collect();
    let users: Vec<User> = films.users.values().cloned().collect();
    let [mut ranked, mut plain, mut popular] = [(); 3].map(|()| KNOWN.map(|_| Recalls::default()));
    for tenth in ARRIVALS {
        let place = |tenth: usize| films.events.len() * tenth / 10;
        let (before, after) = films.events.split_at(place(tenth));
        let later = &films.events[place(tenth)..place(tenth + 1)];
        let (Some(begins), Some(now)) = (later.first().and_then(|event| event.time), last_time(&films.events)) else {
            continue;
        };
        let shift = now.millis() - begins.millis();
        let moved = |event: &Event| -> Outcome<Event> {
            let time = event.time.ok_or("an event has no time")?;
            Ok(Event { time: Some(Timestamp::from_millis(time.millis() + shift)?), ..event.clone() })
        };
        let events = before.iter().map(moved).collect::<Outcome<Vec<_>>>()?;
        let known: BTreeSet<&str> = before.iter().map(|event| event.user.as_str()).collect();
        let arriving: BTreeSet<&str> =
            later.iter().map(|event| event.user.as_str()).filter(|user| !known.contains(user)).collect();
        let mut liked: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let is_liked = |event: &&Event| event.value.is_some_and(|rating| rating >= LIKED);
        for event in after.iter().filter(is_liked).filter(|event| arriving.contains(event.user.as_str())) {
            liked.entry(&event.user).or_default().push(&event.item);
        }
        let mut counts: HashMap<&str, f64> = HashMap::new();
        before.iter().filter(is_liked).for_each(|event| *counts.entry(&event.item).or_default() += 1.0);
        let all: Vec<&str> = counts.keys().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let most = ranked_by(&all, |name| counts[name]);
        let dir = tempfile::tempdir()?;
        let folder = dir.path().join("data");
        drop(trained(&folder, &users, &items, &events)?);
        for (has_ranker, by_known) in [(true, &mut ranked), (false, &mut plain)] {
            let mut config = config();
            config.ranker.enabled = has_ranker;
            let engine = Engine::open(&folder, config)?;
            for (user, liked) in liked.iter().filter(|(_, liked)| liked.len() >= LEAST_LIKED) {
                let (first, rest) = liked.split_at(MOST_KNOWN);
                let wanted: BTreeSet<&str> = rest.iter().copied().collect();
                for ((known, recalls), popular) in KNOWN.iter().zip(&mut *by_known).zip(&mut popular) {
                    let known = &first[..*known];
                    let answer = engine.recommend(&with_session(Some(user), known))?;
                    recalls.add(user, recall(answered(&answer), &wanted));
                    if has_ranker {
                        let unseen = most.iter().filter(|name| !known.contains(*name)).copied();
                        popular.add(user, recall(unseen, &wanted));
                    }
                }
            }
        }
        eprintln!("arriving people: after {tenth} tenths of the events");
    }
    let [zero, one, two, five] = &ranked;
    let [_, plain_one, plain_two, plain_five] = &plain;
    let [popular, .., after_five] = &popular;
    Ok(table(
        "People who came after the training, Recall@20 of what they liked after their first five films",
        &[
            ("arriving_0", "Savor, from the profile", zero),
            ("arriving_1", "Savor, from one film, as it answers", one),
            ("arriving_1_retrieval", "the same without a ranker", plain_one),
            ("arriving_2", "from two", two),
            ("arriving_2_retrieval", "the same without a ranker", plain_two),
            ("arriving_5", "from five", five),
            ("arriving_5_retrieval", "the same without a ranker", plain_five),
            ("arriving_popular", "popularity until then", popular),
            ("arriving_popular_5", "popularity without the first five", after_five),
        ],
    ))
}

fn last_time(events: &[Event]) -> Option<Timestamp> {
    events.last().and_then(|event| event.time)
}

/// Names by descending score, equal ones by name.
fn ranked_by<'a>(names: &[&'a str], score: impl Fn(&str) -> f64) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
    names
}

fn with_session(user: Option<&str>, known: &[&str]) -> Query {
    let entry = |name: &&str| SessionItem { item: (*name).to_owned(), kind: "view".into(), value: None };
    let mut query = Query::for_session(Vec::<String>::new());
    query.user = user.map(str::to_owned);
    query.session = known.iter().map(entry).collect();
    Query { limit: K, exclude_seen: ExcludeSeen::All(true), ..query }
}

fn gowalla(folder: &Path) -> Outcome<Vec<String>> {
    let read = |file: &str| -> Outcome<BTreeMap<String, Vec<String>>> {
        let file = std::fs::File::open(folder.join(file))?;
        let mut rows = BTreeMap::new();
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let line = line?;
            let mut fields = line.split_whitespace().map(str::to_owned);
            if let Some(user) = fields.next() {
                rows.insert(user, fields.collect());
            }
        }
        Ok(rows)
    };
    let (train, test) = (read("train.txt.gz")?, read("test.txt.gz")?);
    let mut random = ChaCha8Rng::seed_from_u64(SEED + 2);
    let mut names: Vec<&str> =
        train.keys().filter(|user| train[*user].len() >= LEAST_LIKED).map(String::as_str).collect();
    names.shuffle(&mut random);
    let is_new: BTreeSet<&str> = names.iter().take(NEW_USERS).copied().collect();
    let at = Timestamp::from_millis(1_700_000_000_000)?;
    let mut counts: HashMap<&str, f64> = HashMap::new();
    let mut events = Vec::new();
    for (user, places) in train.iter().filter(|(user, _)| !is_new.contains(user.as_str())) {
        for place in places {
            *counts.entry(place).or_default() += 1.0;
            events.push(Event::new(user, place, "view").at(at));
        }
    }
    let dir = tempfile::tempdir()?;
    let engine = trained(&dir.path().join("data"), &[], &[], &events)?;
    drop(events);
    let all: Vec<&str> = counts.keys().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let most = ranked(&all, |name| counts[name], &mut random);
    let mut by_known = KNOWN.map(|_| Recalls::default());
    let mut popular = Recalls::default();
    for user in is_new {
        let mut places: Vec<&str> = train[user].iter().map(String::as_str).collect();
        places.shuffle(&mut random);
        let (first, rest) = places.split_at(MOST_KNOWN);
        let later = test.get(user).into_iter().flatten().map(String::as_str);
        let wanted: BTreeSet<&str> = rest.iter().copied().chain(later).collect();
        for (known, recalls) in KNOWN.iter().zip(&mut by_known).skip(1) {
            let answer = engine.recommend(&with_session(None, &first[..*known]))?;
            recalls.add(user, recall(answered(&answer), &wanted));
        }
        popular.add(user, recall(most.iter().filter(|name| !first[..1].contains(*name)).copied(), &wanted));
    }
    let [_, one, two, five] = &by_known;
    Ok(table(
        "New users of Gowalla, Recall@20 of all that they visited but five places drawn at random",
        &[
            ("gowalla_user_1", "Savor, from one place", one),
            ("gowalla_user_2", "Savor, from two places", two),
            ("gowalla_user_5", "Savor, from five places", five),
            ("gowalla_popular", "popularity", &popular),
        ],
    ))
}
