//! A page: headings, sentences, tables and figures in the order they are added.

use std::fmt::Write;

use super::{Plot, escaped};

/// Colours follow Okabe & Ito (2008), which people with any colour vision tell apart; lighter ones on dark ground.
const STYLE: &str = include_str!("style.css");

/// A self-contained HTML page.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// A page with its heading.
    pub fn new(title: &str) -> Self {
        Self { title: escaped(title), body: String::new() }
    }

    /// A heading inside the page.
    pub fn heading(&mut self, text: &str) -> &mut Self {
        self.element("h2", text)
    }

    /// A sentence or more.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.element("p", text)
    }

    /// What is small beside the rest: how a figure was made.
    pub fn note(&mut self, text: &str) -> &mut Self {
        let _ = writeln!(self.body, "<p class=\"note\">{}</p>", escaped(text));
        self
    }

    /// A list of sentences.
    pub fn list<'a>(&mut self, sentences: impl IntoIterator<Item = &'a str>) -> &mut Self {
        let entries = sentences.into_iter().map(|text| format!("<li>{}</li>", escaped(text))).collect::<String>();
        let _ = writeln!(self.body, "<ul>{entries}</ul>");
        self
    }

    /// A table; a narrow screen scrolls it sideways.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        let _ = writeln!(self.body, "<div class=\"table\">{}</div>", table.html());
        self
    }

    /// Figures, side by side where there is room.
    pub fn figures(&mut self, plots: &[Plot]) -> &mut Self {
        let figures = plots.iter().map(Plot::html).collect::<String>();
        let _ = writeln!(self.body, "<div class=\"figures\">\n{figures}</div>");
        self
    }

    /// Text as it is, such as settings, folded away under a summary.
    pub fn folded(&mut self, summary: &str, text: &str) -> &mut Self {
        let (summary, text) = (escaped(summary), text.lines().map(escaped).collect::<Vec<_>>().join("\n"));
        let _ = writeln!(self.body, "<details><summary>{summary}</summary><pre>{text}</pre></details>");
        self
    }

    /// The whole document.
    pub fn html(&self) -> String {
        let Self { title, body } = self;
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
        )
    }

    fn element(&mut self, name: &str, text: &str) -> &mut Self {
        let _ = writeln!(self.body, "<{name}>{}</{name}>", escaped(text));
        self
    }
}

/// A table: names in the first column, numbers in the others.
#[derive(Clone, Debug)]
pub struct Table {
    header: String,
    rows: String,
}

impl Table {
    /// A table with these headings.
    pub fn new<'a>(header: impl IntoIterator<Item = &'a str>) -> Self {
        let header = header.into_iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
        Self { header, rows: String::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().enumerate().map(|(place, cell)| match place {
            0 => format!("<th>{}</th>", escaped(&cell)),
            _ => format!("<td>{}</td>", escaped(&cell)),
        });
        let _ = writeln!(self.rows, "<tr>{}</tr>", cells.collect::<String>());
    }

    fn html(&self) -> String {
        format!("<table><thead><tr>{}</tr></thead><tbody>\n{}</tbody></table>", self.header, self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Axis, Point, Series};

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_escapes_all_text() {
        let mut page = Page::new("<b>");
        let mut table = Table::new(["<i>", "n"]);
        table.row(["<u>".to_owned(), "1 < 2".to_owned()]);
        let plot = Plot::new("p", Axis::linear("x"), Axis::linear("y")).line(Series::new("s", [Point::new(0.0, 1.0)]));
        page.heading("<s>").text("a & b").list(["<em>"]).table(&table).figures(&[plot]).folded("<q>", "x = \"<a>\"");
        let html = page.html();
        for tag in ["<b>", "<i>", "<u>", "<s>", "<em>", "<q>", "<a>", "<script", "http://", "https://", "url("] {
            assert!(!html.contains(tag), "{tag} in {html}");
        }
        assert!(html.contains("a &amp; b") && html.contains("1 &lt; 2") && html.contains("prefers-color-scheme"));
    }
}
