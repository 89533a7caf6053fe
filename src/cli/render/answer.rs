//! Answers: what is recommended, with titles, and why.

use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::cli::titles::Titles;
use crate::record::{Answer, Because, Degraded, Evidence, Prior, SearchTrace, SearchWay, Source};

/// So many past items are shown for each score, unless the user wants more or fewer.
pub const PARTS: usize = 3;

/// Looks up titles, if people read the answer, and shows it.
pub fn show(context: &Context, place: &Place, answer: &Answer) -> Result<(), Failure> {
    let mut titles = Titles::default();
    if context.output.is_table() {
        titles.learn(place, ids(answer))?;
    }
    context.output.show(answer, |answer| format!("{}{}", note(answer), table(answer, &titles, PARTS)))
}

/// Every item that an answer names.
pub fn ids(answer: &Answer) -> impl Iterator<Item = &str> {
    answer.items.iter().flat_map(|item| {
        let because = item.because.iter().flatten().map(|part| part.item.as_str());
        std::iter::once(item.item.as_str()).chain(because)
    })
}

/// Who is answered, by which snapshot, and what the answer lacks.
pub fn head(answer: &Answer, user: Option<&str>) -> String {
    let who = user.map_or_else(|| "session".to_owned(), |user| format!("user {user}"));
    let snapshot = answer.snapshot.map_or_else(|| "no snapshot".to_owned(), |id| format!("snapshot {id}"));
    format!("{who} · {snapshot}\n{}", note(answer)).trim_end().to_owned()
}

/// How the index was searched, where the answer tells.
pub fn search(answer: &Answer) -> String {
    let Some(trace) = &answer.search else { return String::new() };
    let way = match trace.way {
        SearchWay::Scan => "exact scan",
        SearchWay::Matches => "exact scan of the matches of the filter",
        SearchWay::Walk => "walk through the graph",
        SearchWay::Nothing => "nothing searched",
    };
    let SearchTrace { vectors, sifted, scored, visited, us, why, .. } = trace;
    let took = match trace.way {
        SearchWay::Walk => format!("{visited} of {vectors} vectors visited"),
        SearchWay::Nothing => return format!("search: {way}, because {why}"),
        _ => format!("{sifted} of {vectors} vectors sifted, {scored} scored"),
    };
    format!("search: {way}, {took} in {us:.0} µs, because {why}")
}

/// The list as it would be without rules, where the answer tells.
pub fn before(answer: &Answer, titles: &Titles) -> String {
    let Some(before) = &answer.before else { return String::new() };
    let mut table = super::table(&["#", "without rules", "now", "rules"], &[0, 2]);
    for (place, item) in before.iter().enumerate() {
        let now = answer.items.iter().position(|other| other.item == item.item);
        let now = now.map_or_else(|| "-".to_owned(), |now| (now + 1).to_string());
        table.add_row([(place + 1).to_string(), titles.or_id(&item.item).to_owned(), now, item.rules.join(", ")]);
    }
    table.trim_fmt()
}

/// The items, one a row.
pub fn table(answer: &Answer, titles: &Titles, parts: usize) -> String {
    let explained = answer.items.iter().any(|item| item.because.is_some());
    let mut header = vec!["#", "item"];
    if titles.any() {
        header.push("title");
    }
    let score = header.len();
    let ranked = answer.items.iter().any(|item| item.rank.is_some());
    if ranked {
        header.push("rank by");
    }
    header.extend(["score", "source"]);
    let ruled = answer.items.iter().any(|item| !item.rules.is_empty());
    if ruled {
        header.push("rules");
    }
    if explained {
        header.push("because");
    }
    let mut table = super::table(&header, &[0, score, score + usize::from(ranked)]);
    for (place, item) in answer.items.iter().enumerate() {
        let mut row = vec![(place + 1).to_string(), item.item.clone()];
        if titles.any() {
            row.push(titles.of(&item.item).to_owned());
        }
        if ranked {
            row.push(item.rank.map(|rank| format!("{rank:.3}")).unwrap_or_default());
        }
        row.extend([score_text(item.score, item.source), source(item.source).to_owned()]);
        if ruled {
            row.push(item.rules.join(", "));
        }
        if explained {
            row.push(because(item.because.as_deref().unwrap_or_default(), titles, parts));
        }
        table.add_row(row);
    }
    table.trim_fmt()
}

/// What the user liked last beside what is recommended.
pub fn beside(answer: &Answer, liked: &[String], titles: &Titles) -> String {
    let mut table = super::table(&["#", "liked last", "recommended", "score"], &[0, 3]);
    for place in 0..liked.len().max(answer.items.len()) {
        let item = answer.items.get(place);
        table.add_row([
            (place + 1).to_string(),
            liked.get(place).map(|id| titles.or_id(id).to_owned()).unwrap_or_default(),
            item.map(|item| titles.or_id(&item.item).to_owned()).unwrap_or_default(),
            item.map(|item| score_text(item.score, item.source)).unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

/// The largest parts of a score, one a line; what is left out is told as a sum.
fn because(parts: &[Because], titles: &Titles, shown: usize) -> String {
    let mut lines: Vec<String> =
        parts.iter().take(shown).map(|part| format!("{:+.3} {}", part.weight, titles.or_id(&part.item))).collect();
    let rest = parts.get(lines.len()..).unwrap_or_default();
    if !rest.is_empty() {
        let sum: f64 = rest.iter().map(|part| part.weight).sum();
        lines.push(format!("{sum:+.3} from {} more", rest.len()));
    }
    lines.join("\n")
}

fn note(answer: &Answer) -> String {
    let note = match answer.degraded {
        None => return answer.evidence.map_or_else(String::new, evidence),
        Some(Degraded::NoHistory) if answer.evidence.is_some() => {
            "no event that the model can learn from: this is what people of the like profile have"
        }
        Some(Degraded::NoSnapshot) => {
            "nothing is trained yet: this is the popular list (`savor train` makes a snapshot)"
        }
        Some(Degraded::UnknownUser) => "the user is unknown: this is the popular list",
        Some(Degraded::NoHistory) => "no event that the model can learn from: this is the popular list",
        Some(Degraded::UnknownItem) => "the model does not know this item (yet)",
        Some(Degraded::FewCandidates) => "few items pass the filters: popular ones fill the rest",
        Some(Degraded::OverloadedUnranked) => "the server has too much to do: not put in order by the ranker",
        Some(Degraded::OverloadedKept) => "the server has too much to do: an answer from some minutes ago",
        Some(Degraded::OverloadedPopular) => "the server has too much to do: this is the popular list",
    };
    format!("{note}\n")
}

/// How far the answer goes by events.
fn evidence(Evidence { pairs, prior, of }: Evidence) -> String {
    let of = match of {
        Prior::Profile => "what people of the like profile have",
        Prior::Everybody => "what everybody has",
    };
    format!("little is known yet: {pairs:.1} pairs; {:.0} % of the say has {of}\n", prior * 100.0)
}

fn score_text(score: f64, of: Source) -> String {
    match of {
        Source::Unscored => "-".into(),
        Source::Latest if score == 0.0 => "no time".into(),
        Source::Latest => crate::record::Timestamp::from_millis(score as i64)
            .map_or_else(|_| "-".into(), |time| time.to_string().chars().take(10).collect()),
        // Decayed popularity of old events, mostly: the order is right however small the numbers are.
        _ if score != 0.0 && score.abs() < 1e-3 => format!("{score:.2e}"),
        _ => format!("{score:.4}"),
    }
}

fn source(of: Source) -> &'static str {
    match of {
        Source::Personal => "personal",
        Source::FoldIn => "fold-in",
        Source::New => "new",
        Source::Explore => "explore",
        Source::Profile => "profile",
        Source::Next => "next",
        Source::Similar => "similar",
        Source::Popular => "popular",
        Source::Latest => "latest",
        Source::List => "list",
        Source::Pin => "pin",
        Source::Vector => "vector",
        Source::Unscored => "unscored",
    }
}
