//! Pages for people: one self-contained HTML file with tables and plots, to be opened, mailed or kept beside a model.
//! Nothing is fetched from elsewhere, there are no scripts, and what came from data is escaped. A page knows how it is
//! read (light or dark, wide or on a phone), not what it says; that is for whoever fills it: for evaluations, experiments and features, here.

mod axis;
mod evaluation;
mod experiment;
mod features;
mod page;
mod plot;

pub use axis::Axis;
pub use evaluation::{comparison_page, evaluation_page};
pub use experiment::{METRIC_COLUMNS, experiment_page, metric_rows};
pub use features::features_page;
pub use page::{Page, Table};
pub use plot::{Plot, Point, Series};

/// Text as HTML and SVG take it, in elements and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are not allowed in XML, not even escaped.
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
