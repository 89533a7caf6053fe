//! Plots: lines, points and bars over two axes, as SVG inside a figure of HTML. The SVG names colours by class only, so
//! that the page decides on them, light or dark.

use std::fmt::Write;

use super::axis::{Axis, Scale};
use super::escaped;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 44.0;
const RIGHT: f64 = 14.0;
/// Width of a letter of a tick's label.
const LETTER: f64 = 7.0;
/// Colours that a page has for series: 0 is the muted one.
const COLOURS: usize = 8;

/// One value of a series, with its interval and a note if there are any.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    x: f64,
    y: f64,
    between: Option<(f64, f64)>,
    note: String,
}

impl Point {
    /// A value.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, between: None, note: String::new() }
    }

    /// Its interval, drawn as a whisker (bars, points) or as a band (lines).
    pub fn between(mut self, low: f64, high: f64) -> Self {
        self.between = Some((low, high));
        self
    }

    /// What a pointer that rests on it is told beside the numbers.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// Values of one kind: a name in the legend and a colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    name: String,
    points: Vec<Point>,
    is_muted: bool,
}

impl Series {
    /// A series; one without a name is not in the legend.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = Point>) -> Self {
        Self { name: name.into(), points: points.into_iter().collect(), is_muted: false }
    }

    /// Grey and dashed, for what others are compared with.
    pub fn muted(mut self) -> Self {
        self.is_muted = true;
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    Bars,
    Line,
    Points,
}

/// A plot: what is put into it is drawn in the order bars, lines, points.
///
/// ```
/// use savor::report::{Axis, Plot, Point, Series};
/// let trials = (1..=3).map(|trial| Point::new(f64::from(trial), 0.1 * f64::from(trial)).note("dimension 64"));
/// let figure = Plot::new("The search", Axis::linear("trial"), Axis::linear("ndcg@10")).points(Series::new("", trials));
/// assert!(figure.html().contains("<svg"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    title: String,
    x: Axis,
    y: Axis,
    series: Vec<(Mark, Series)>,
}

impl Plot {
    /// An empty plot.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, series: Vec::new() }
    }

    /// Adds bars, one group for each name of the x axis; series stand side by side.
    pub fn bars(self, series: Series) -> Self {
        self.with(Mark::Bars, series)
    }

    /// Adds a line through the points, in their order.
    pub fn line(self, series: Series) -> Self {
        self.with(Mark::Line, series)
    }

    /// Adds points.
    pub fn points(self, series: Series) -> Self {
        self.with(Mark::Points, series)
    }

    fn with(mut self, mark: Mark, mut series: Series) -> Self {
        series.points.retain(|point| self.x.takes(point.x) && self.y.takes(point.y));
        self.series.push((mark, series));
        self
    }

    /// The figure, with title and legend.
    pub fn html(&self) -> String {
        let mut legend = String::new();
        for ((_, series), colour) in self.series.iter().zip(self.colours()).filter(|((_, of), _)| !of.name.is_empty()) {
            let _ = write!(legend, "<li><i class=\"c{colour}\"></i>{}</li>", escaped(&series.name));
        }
        let legend = if legend.is_empty() { legend } else { format!("<ul class=\"legend\">{legend}</ul>") };
        format!("<figure><figcaption>{}{legend}</figcaption>{}</figure>\n", escaped(&self.title), self.svg())
    }

    /// The drawing alone.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|(_, series)| &series.points);
        let heights = points().flat_map(|point| {
            let (low, high) = point.between.unwrap_or((point.y, point.y));
            [point.y, low, high]
        });
        let y = self.y.scale(heights, (HEIGHT - BOTTOM, TOP));
        let longest = y.ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
        let left = 14.0 + LETTER * longest as f64;
        let x = self.x.scale(points().map(|point| point.x), (left, WIDTH - RIGHT));
        let mut out =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escaped(&self.title));
        self.frame(&mut out, &x, &y, left);
        for mark in [Mark::Bars, Mark::Line, Mark::Points] {
            let groups = self.series.iter().filter(|(of, _)| *of == mark).count();
            let of_mark = self.series.iter().zip(self.colours()).filter(|((of, _), _)| *of == mark);
            for (place, ((_, series), colour)) in of_mark.enumerate() {
                let class = if series.is_muted { format!("c{colour} muted") } else { format!("c{colour}") };
                let _ = write!(out, "<g class=\"{class}\">");
                match mark {
                    Mark::Bars => self.draw_bars(&mut out, series, &x, &y, (place, groups)),
                    Mark::Line => self.draw_line(&mut out, series, &x, &y),
                    Mark::Points => self.draw_points(&mut out, series, &x, &y),
                }
                out.push_str("</g>");
            }
        }
        out + "</svg>"
    }

    /// The muted series are grey, the others take the colours in turn.
    fn colours(&self) -> impl Iterator<Item = usize> + '_ {
        let mut taken = 0;
        self.series.iter().map(move |(_, series)| {
            taken += usize::from(!series.is_muted);
            if series.is_muted { 0 } else { 1 + (taken - 1) % (COLOURS - 1) }
        })
    }

    fn frame(&self, out: &mut String, x: &Scale, y: &Scale, left: f64) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, label) in &y.ticks {
            let at = y.place(*value);
            let _ = write!(out, "<path class=\"grid\" d=\"M{left:.1} {at:.1}H{right:.1}\"/>");
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"end\">{}</text>",
                left - 6.0,
                at + 4.0,
                escaped(label)
            );
        }
        for (value, label) in &x.ticks {
            let at = x.place(*value);
            let _ = write!(
                out,
                "<text x=\"{at:.1}\" y=\"{:.1}\" class=\"middle\">{}</text>",
                bottom + 17.0,
                escaped(label)
            );
        }
        let _ = write!(out, "<path class=\"axis\" d=\"M{left:.1} {bottom:.1}H{right:.1}\"/>");
        let middle = (left + right) / 2.0;
        let _ = write!(
            out,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" class=\"middle label\">{}</text>",
            HEIGHT - 8.0,
            escaped(self.x.label())
        );
        let _ = write!(out, "<text x=\"4\" y=\"14\" class=\"label\">{}</text>", escaped(self.y.label()));
    }

    fn draw_bars(&self, out: &mut String, series: &Series, x: &Scale, y: &Scale, (place, groups): (usize, usize)) {
        let width = x.step() * 0.8 / groups as f64;
        let ground = y.place(0.0);
        for point in &series.points {
            let left = x.place(point.x) + (place as f64 - groups as f64 / 2.0) * width;
            let top = y.place(point.y);
            let _ = write!(
                out,
                "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\">{}</rect>",
                top.min(ground),
                (width - 1.0).max(0.5),
                (ground - top).abs(),
                self.told(series, point)
            );
            whisker(out, point, left + (width - 1.0) / 2.0, y);
        }
    }

    fn draw_line(&self, out: &mut String, series: &Series, x: &Scale, y: &Scale) {
        let path = |points: &mut dyn Iterator<Item = (f64, f64)>| {
            let places = points.map(|(at, value)| format!("{:.1} {:.1}", x.place(at), y.place(value)));
            places.collect::<Vec<_>>().join("L")
        };
        let banded = || series.points.iter().filter_map(|point| Some((point.x, point.between?)));
        if banded().count() > 1 {
            let mut ends = banded().map(|(at, (low, _))| (at, low)).collect::<Vec<_>>();
            ends.reverse();
            let around = path(&mut banded().map(|(at, (_, high))| (at, high)).chain(ends));
            let _ = write!(out, "<path class=\"band\" d=\"M{around}Z\"/>");
        }
        if !series.points.is_empty() {
            let line = path(&mut series.points.iter().map(|point| (point.x, point.y)));
            let _ = write!(out, "<path class=\"line\" d=\"M{line}\"/>");
        }
        // A long line has no room for a mark at each of its points.
        if series.points.len() <= 32 {
            self.dots(out, series, x, y, 2.5);
        }
    }

    fn draw_points(&self, out: &mut String, series: &Series, x: &Scale, y: &Scale) {
        for point in &series.points {
            whisker(out, point, x.place(point.x), y);
        }
        self.dots(out, series, x, y, 3.5);
    }

    fn dots(&self, out: &mut String, series: &Series, x: &Scale, y: &Scale, radius: f64) {
        for point in &series.points {
            let (at, height) = (x.place(point.x), y.place(point.y));
            let told = self.told(series, point);
            let _ = write!(out, "<circle cx=\"{at:.1}\" cy=\"{height:.1}\" r=\"{radius}\">{told}</circle>");
        }
    }

    /// What a pointer that rests on a value is told.
    fn told(&self, series: &Series, point: &Point) -> String {
        let mut text = format!("{}: {}", self.x.written(point.x), self.y.written(point.y));
        if let Some((low, high)) = point.between {
            let _ = write!(text, " ({} to {})", self.y.written(low), self.y.written(high));
        }
        let parts = [series.name.as_str(), &text, &point.note];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("<title>{}</title>", escaped(&parts.join(" · ")))
    }
}

fn whisker(out: &mut String, point: &Point, at: f64, y: &Scale) {
    if let Some((low, high)) = point.between {
        let _ = write!(out, "<path class=\"whisker\" d=\"M{at:.1} {:.1}V{:.1}\"/>", y.place(low), y.place(high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        Plot::new("t <1>", Axis::names("who & what", ["<a>", "b"]), Axis::linear("\"y\"").from_zero())
    }

    #[test]
    fn what_came_from_data_is_escaped() {
        let point = Point::new(0.0, 1.0).note("</title><script>");
        let html = plot().bars(Series::new("<script>alert('x')</script>", [point])).html();
        assert!(!html.contains("<script") && !html.contains("<a>") && !html.contains("t <1>"), "{html}");
        for escaped in
            ["&lt;script&gt;alert(&#39;x&#39;)", "&lt;a&gt;", "t &lt;1&gt;", "who &amp; what", "&quot;y&quot;"]
        {
            assert!(html.contains(escaped), "{escaped}: {html}");
        }
    }

    #[test]
    fn every_value_is_drawn_once_and_the_ones_that_are_none_are_not() {
        let points = [1.0, f64::NAN, 2.0, f64::INFINITY].map(|y| Point::new(0.0, y));
        let svg = plot().bars(Series::new("", points.clone())).points(Series::new("", points)).svg();
        assert_eq!((svg.matches("<rect").count(), svg.matches("<circle").count()), (2, 2));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(plot().line(Series::new("", [])).svg().ends_with("</g></svg>"));
    }

    #[test]
    fn a_muted_series_is_grey_and_takes_no_colour() {
        let series = |name: &str| Series::new(name, [Point::new(0.0, 1.0)]);
        let html = plot().line(series("popularity").muted()).line(series("ours")).line(series("theirs")).html();
        for legend in ["<i class=\"c0\"></i>popularity", "<i class=\"c1\"></i>ours", "<i class=\"c2\"></i>theirs"] {
            assert!(html.contains(legend), "{legend}: {html}");
        }
    }

    #[test]
    fn intervals_are_whiskers_on_bars_and_a_band_on_lines() {
        let points = || [0.0, 1.0].map(|x| Point::new(x, 1.0).between(0.5, 1.5));
        assert_eq!(plot().bars(Series::new("", points())).svg().matches("\"whisker\"").count(), 2);
        assert_eq!(plot().line(Series::new("", points())).svg().matches("\"band\"").count(), 1);
    }
}
