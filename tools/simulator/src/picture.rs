//! Click-through by day, as one SVG that needs nothing beside itself.

use std::fmt::Write;

use crate::month::{Month, Policy};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 56.0;
/// Labels stand at least so far from each other.
const LINE: f64 = 18.0;

fn colour(policy: Policy) -> &'static str {
    match policy {
        Policy::Random => "#9a9a9a",
        Policy::Popular => "#8c6d46",
        Policy::Static => "#d1495b",
        Policy::Live => "#e08e2b",
        Policy::Retrained => "#2f6fb3",
        Policy::Explored => "#2a9d5c",
        Policy::Alone => "#7b4fa3",
        Policy::Oracle => "#333333",
    }
}

/// Smoothed over three days, so that weather does not hide climate.
fn smoothed(month: &Month, day: usize, planted: usize) -> f64 {
    // Not over the drift: its fall stays as steep as it is.
    let (from, to) = if day < planted { (0, planted) } else { (planted, month.days.len()) };
    month.rate(day.saturating_sub(1).max(from)..(day + 2).min(to))
}

pub fn svg(months: &[Month], planted: usize, seed: u64) -> String {
    let days = months.iter().map(|month| month.days.len()).max().unwrap_or(0).max(2);
    let lines: Vec<Vec<f64>> =
        months.iter().map(|month| (0..month.days.len()).map(|day| smoothed(month, day, planted)).collect()).collect();
    let highest = lines.iter().flatten().copied().fold(0.01, f64::max);
    let step = [0.01, 0.02, 0.05, 0.1, 0.2].into_iter().find(|step| highest / step <= 8.0).unwrap_or(0.5);
    let top = (highest / step).ceil() * step;
    let x = |day: f64| LEFT + (WIDTH - LEFT - RIGHT) * day / (days - 1) as f64;
    let y = |rate: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate / top;
    let mut out = String::new();
    let mut draw = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    draw(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#222\">"
    ));
    draw(format!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"));
    draw(format!(
        "<text x=\"{LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"600\">Clicks for each item shown, by simulated day \
         (mean of three days, seed {seed})</text>"
    ));
    for tick in 0..=(top / step).round() as usize {
        let rate = tick as f64 * step;
        let (at, end) = (y(rate), WIDTH - RIGHT);
        draw(format!("<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e4e4e4\"/>"));
        draw(format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            LEFT - 8.0,
            at + 4.0,
            rate * 100.0
        ));
    }
    for day in (0..days).filter(|day| day % 7 == 0 || day + 1 == days) {
        let at = x(day as f64);
        draw(format!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>", HEIGHT - BOTTOM + 20.0, day + 1));
    }
    draw(format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">day</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - BOTTOM + 42.0
    ));
    if planted > 0 && planted < days {
        let at = x(planted as f64 - 0.5);
        let foot = HEIGHT - BOTTOM;
        draw(format!(
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{foot}\" stroke=\"#666\" stroke-dasharray=\"5 4\"/>"
        ));
        draw(format!(
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">planted drift, day {}</text>",
            TOP - 8.0,
            planted + 1
        ));
    }
    for (month, line) in months.iter().zip(&lines) {
        let points: Vec<String> =
            line.iter().enumerate().map(|(day, rate)| format!("{:.1},{:.1}", x(day as f64), y(*rate))).collect();
        draw(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2.2\" stroke-linejoin=\"round\"/>",
            points.join(" "),
            colour(month.policy)
        ));
    }
    let wished: Vec<f64> = lines.iter().map(|line| y(line.last().copied().unwrap_or(0.0))).collect();
    for ((month, from), at) in months.iter().zip(&wished).zip(apart(&wished)) {
        let (colour, end) = (colour(month.policy), x((days - 1) as f64));
        draw(format!(
            "<line x1=\"{:.1}\" y1=\"{from:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.5\"/>",
            end + 2.0,
            end + 18.0
        ));
        draw(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" font-weight=\"600\">{} {:.1} %</text>",
            end + 22.0,
            at + 4.0,
            month.policy.name(),
            100.0 * month.rate(0..days)
        ));
    }
    draw(format!(
        "<text x=\"{}\" y=\"{}\" fill=\"#555\">label: mean of all days</text>",
        WIDTH - RIGHT + 22.0,
        TOP - 8.0
    ));
    out.push_str("</svg>\n");
    out
}

/// Places near the wished ones, a line apart, inside the picture.
fn apart(wished: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wished.len()).collect();
    order.sort_by(|a, b| wished[*a].total_cmp(&wished[*b]));
    let mut places = wished.to_vec();
    let mut least = TOP + 6.0;
    for place in &order {
        places[*place] = places[*place].max(least);
        least = places[*place] + LINE;
    }
    let mut most = HEIGHT - BOTTOM;
    for place in order.iter().rev() {
        places[*place] = places[*place].min(most);
        most = places[*place] - LINE;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::month::Day;

    #[test]
    fn labels_do_not_overlap_and_stay_inside() {
        for wished in [vec![200.0; 8], vec![460.0; 6], vec![70.0, 71.0, 69.0, 462.0]] {
            let mut places = apart(&wished);
            places.sort_by(f64::total_cmp);
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= LINE - 1e-9), "{places:?}");
            assert!(places.iter().all(|place| (TOP..=HEIGHT - BOTTOM).contains(place)));
        }
    }

    #[test]
    fn the_drift_is_marked_and_every_policy_named() {
        let days = vec![Day { shown: 100, clicks: 20 }; 10];
        let month = |policy| Month { policy, days: days.clone(), trained: 0, live: 0 };
        let picture = svg(&[month(Policy::Static), month(Policy::Oracle)], 5, 1);
        for text in ["planted drift, day 6", "static 20.0 %", "oracle 20.0 %"] {
            assert!(picture.contains(text), "{text}");
        }
        assert!(!picture.contains("NaN"));
    }
}
