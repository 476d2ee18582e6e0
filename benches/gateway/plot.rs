//! The first figure of each row as bars, as multiples of the blind relay's, in one SVG.

use std::fmt::Write as _;

use crate::report::Results;
use crate::rows::Row;
use crate::subjects::Kind;

/// Who is drawn, in which order, in which colour.
const SERIES: [(Kind, &str, &str); 4] = [
    (Kind::Ftpwarden, "ftpwarden", "#1f6feb"),
    (Kind::Relay, "blind relay", "#8c959f"),
    (Kind::Haproxy, "HAProxy (TCP)", "#d4a72c"),
    (Kind::ModProxy, "ProFTPD mod_proxy", "#cf6679"),
];

/// Width of the picture.
const WIDTH: f64 = 860.0;
/// Where bars begin, and how long one is that costs as much as the relay.
const LEFT: f64 = 250.0;
/// As above.
const UNIT: f64 = 150.0;
/// Where a longer bar is cut.
const MOST: f64 = 3.0;
/// Height of a bar, and what is between two rows.
const BAR: f64 = 13.0;
/// As above.
const GAP: f64 = 16.0;
/// Height of the title and the legend.
const TOP: f64 = 74.0;

/// Draws the rows in which the gateway and the relay did something.
pub(crate) fn draw(results: &Results, rows: &[&Row]) -> String {
    let rows: Vec<&&Row> = rows
        .iter()
        .filter(|row| row.is_drawn && results.ratio(row, Kind::Relay).is_some())
        .collect();
    let mut body = String::new();
    let mut y = TOP;
    for row in rows {
        y = draw_row(&mut body, results, row, y) + GAP;
    }
    let line = LEFT + UNIT;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#1f2328\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"bold\">\
         CPU time of the proxy, as a multiple of a relay that reads nothing</text>\n\
         {legend}\
         <line x1=\"{line}\" y1=\"{top}\" x2=\"{line}\" y2=\"{y}\" stroke=\"#57606a\" \
         stroke-dasharray=\"3 3\"/>\n{body}</svg>\n",
        height = y + 8.0,
        top = TOP - 8.0,
        legend = legend(),
    )
}

/// Who is who.
fn legend() -> String {
    let mut text = String::new();
    let mut x = 16.0;
    for (_, name, colour) in SERIES {
        writeln!(
            text,
            "<rect x=\"{x}\" y=\"42\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"52\">{name}</text>",
            x + 18.0
        )
        .ok();
        x += 60.0 + 7.0 * name.len() as f64;
    }
    text
}

/// Draws one row below `y` and returns where it ends.
fn draw_row(body: &mut String, results: &Results, row: &Row, mut y: f64) -> f64 {
    let relay = results.counts(row, Kind::Relay, 0).unwrap_or(1.0);
    let figure = row.figures[0];
    let begin = y;
    for (kind, _, colour) in SERIES {
        let Some(value) = results.counts(row, kind, 0) else {
            continue;
        };
        let ratio = value / relay;
        let length = ratio.min(MOST) * UNIT;
        let cut = if ratio > MOST { " ▸" } else { "" };
        writeln!(
            body,
            "<rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\" font-size=\"11\">{cut} {ratio:.2} \
             <tspan fill=\"#57606a\">({value:.*} {})</tspan></text>",
            BAR - 2.0,
            LEFT + length + 4.0,
            y + BAR - 3.0,
            figure.digits,
            figure.unit.trim_start_matches("CPU "),
        )
        .ok();
        y += BAR;
    }
    writeln!(
        body,
        "<text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
        LEFT - 12.0,
        f64::midpoint(begin, y) + 3.0,
        row.title
    )
    .ok();
    y
}
