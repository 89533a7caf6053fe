//! Settings put into a TOML file that somebody wrote: its other lines, comments and order stay. The file is edited line by
//! line, and the result is read again and compared; what cannot be done that way is refused and not guessed.

use std::collections::BTreeMap;

use serde_json::Value;
use toml::Table;

use crate::error::{Error, Result};

/// The text with each setting of a table in its place: `filter.neighbours` in `train` is the key `neighbours` of
/// `[train.filter]`. Errors: [`Error::Invalid`] for text that keeps the table in another form.
pub fn patched(text: &str, table: &str, settings: &BTreeMap<String, Value>) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut expected: Table = parsed(text)?;
    for (path, value) in settings {
        let value = toml::Value::try_from(value).map_err(|error| Error::invalid(path, error.to_string()))?;
        let (rooms, key) = path.rsplit_once('.').map_or((None, path.as_str()), |(rooms, key)| (Some(rooms), key));
        let section = rooms.map_or_else(|| table.to_owned(), |rooms| format!("{table}.{rooms}"));
        put(&mut lines, &section, key, &value.to_string());
        insert(&mut expected, &section, key, value);
    }
    let mut changed = lines.join("\n");
    if !changed.is_empty() {
        changed.push('\n');
    }
    if parsed(&changed).ok().as_ref() != Some(&expected) {
        let wanted = settings.iter().map(|(path, value)| format!("{table}.{path} = {value}"));
        let reason = format!(
            "is not written in the form [{table}] with one setting a line; give another file by --write, or put in: {}",
            wanted.collect::<Vec<_>>().join(", ")
        );
        return Err(Error::invalid("", reason));
    }
    Ok(changed)
}

fn parsed(text: &str) -> Result<Table> {
    text.parse().map_err(|error: toml::de::Error| Error::invalid("", error.to_string()))
}

fn put(lines: &mut Vec<String>, section: &str, key: &str, value: &str) {
    let Some(header) = lines.iter().position(|line| header_of(line) == Some(section)) else {
        if lines.last().is_some_and(|line| !line.trim().is_empty()) {
            lines.push(String::new());
        }
        lines.extend([format!("[{section}]"), format!("{key} = {value}")]);
        return;
    };
    let first = header + 1;
    let end = lines.iter().skip(first).position(|line| line.trim_start().starts_with('['));
    let end = end.map_or(lines.len(), |after| first + after);
    let is_it = |line: &String| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
    let own = lines.get(first..end).unwrap_or_default().iter().position(is_it);
    match own.and_then(|place| lines.get_mut(first + place)) {
        Some(line) => {
            let comment = line.find('#').and_then(|at| line.get(at..)).map(|comment| format!(" {comment}"));
            *line = format!("{key} = {value}{}", comment.unwrap_or_default());
        }
        None => {
            let filled = lines.get(first..end).unwrap_or_default().iter().rposition(|line| !line.trim().is_empty());
            lines.insert(filled.map_or(first, |place| first + place + 1), format!("{key} = {value}"));
        }
    }
}

fn header_of(line: &str) -> Option<&str> {
    let inner = line.trim_start().strip_prefix('[')?;
    inner.split_once(']').map(|(name, _)| name.trim())
}

/// A path that meets a value in place of a table inserts nothing: the comparison finds out.
fn insert(table: &mut Table, section: &str, key: &str, value: toml::Value) {
    let mut inner = table;
    for room in section.split('.') {
        let next = inner.entry(room).or_insert_with(|| toml::Value::Table(Table::new()));
        let Some(next) = next.as_table_mut() else { return };
        inner = next;
    }
    inner.insert(key.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
        pairs.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect()
    }

    #[test]
    fn settings_come_into_an_empty_file() {
        let text =
            patched("", "train", &settings(&[("model", json!("ials")), ("filter.neighbours", json!(50))])).unwrap();
        assert_eq!(text, "[train.filter]\nneighbours = 50\n\n[train]\nmodel = \"ials\"\n");
    }

    #[test]
    fn what_else_is_in_the_file_stays_as_it_is() {
        let text = "# ours\n[events]\nrating_threshold = 3.0 # kind\n\n[train]\ndimension = 5 # small\nepochs=2\n\n# the gate\n[snapshot]\nkeep = 2\n";
        let wanted =
            settings(&[("dimension", json!(64)), ("regularization", json!(0.003)), ("linear.ridge", json!(20.0))]);
        let expected = "# ours\n[events]\nrating_threshold = 3.0 # kind\n\n[train]\ndimension = 64 # small\nepochs=2\n\n\
                        # the gate\n[snapshot]\nkeep = 2\n\n[train.linear]\nridge = 20.0\n";
        let text = patched(text, "train", &wanted).unwrap();
        // A comment above the next table is taken for the end of this one; nothing is lost.
        assert_eq!(text.replace("regularization = 0.003\n", ""), expected);
        assert!(text.contains("regularization = 0.003"));
        assert_eq!(patched(&text, "train", &wanted).unwrap(), text, "doing it again changes nothing");
    }

    #[test]
    fn a_form_that_lines_do_not_show_is_refused_with_what_to_do() {
        for text in
            ["train = { dimension = 5 }\n", "train.dimension = 5\n", "x = \"\"\"\n[train]\ndimension = 5\n\"\"\"\n"]
        {
            let error = patched(text, "train", &settings(&[("dimension", json!(64))])).unwrap_err().to_string();
            assert!(error.contains("--write") && error.contains("train.dimension = 64"), "{error}");
        }
        assert!(patched("[train", "train", &settings(&[])).is_err());
    }
}
