//! Medians, ratios and what came of the targets, as tables in Markdown.

use std::collections::BTreeMap;

use crate::rows::{ROWS, Row, Sample, Target};
use crate::subjects::Kind;

/// All that was measured.
#[derive(Default)]
pub(crate) struct Results {
    /// The samples of a row and a subject, one a round.
    samples: BTreeMap<(&'static str, &'static str), Vec<Sample>>,
}

impl Results {
    /// Adds what one measurement gave.
    pub(crate) fn add(&mut self, row: &Row, kind: Kind, sample: Sample) {
        let samples = self.samples.entry((row.name, kind.name()));
        samples.or_default().push(sample);
    }

    /// What counts of a figure over all rounds.
    pub(crate) fn counts(&self, row: &Row, kind: Kind, figure: usize) -> Option<f64> {
        let samples = self.samples.get(&(row.name, kind.name()))?;
        let rounds = samples
            .iter()
            .filter_map(|sample| *sample.get(figure)?)
            .collect();
        row.figures.get(figure)?.of(rounds)
    }

    /// The rows that have samples.
    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        ROWS.iter()
            .filter(|row| self.samples.keys().any(|(name, _)| *name == row.name))
    }

    /// Prints what each subject did, and what the gateway did against it.
    pub(crate) fn print(&self, kinds: &[Kind]) {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        println!("| work | {} |", names.join(" | "));
        println!("|---|{}", "---|".repeat(names.len()));
        for row in self.rows() {
            let units: Vec<&str> = row.figures.iter().map(|figure| figure.unit).collect();
            let cells: Vec<String> = kinds.iter().map(|kind| self.cell(row, *kind)).collect();
            println!(
                "| {}: {} | {} |",
                row.title,
                units.join(", "),
                cells.join(" | ")
            );
        }
        let mut rivals = vec![Kind::Relay, Kind::Haproxy, Kind::ModProxy];
        rivals.extend(kinds.iter().filter(|kind| **kind == Kind::Former));
        let names: Vec<&str> = rivals.iter().map(|kind| kind.name()).collect();
        println!("\n| work | ÷ {} | must | is | |", names.join(" | ÷ "));
        println!("|---|{}---|---|---|", "---|".repeat(rivals.len()));
        for row in self.rows() {
            for (number, target) in row.targets.iter().enumerate() {
                let ratio = |kind: &Kind| {
                    let ratio = self.ratio(row, *kind).filter(|_| number == 0);
                    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
                };
                let ratios: Vec<String> = rivals.iter().map(ratio).collect();
                println!(
                    "| {} | {} | {} |",
                    row.title,
                    ratios.join(" | "),
                    self.judged(row, target)
                );
            }
        }
    }

    /// The medians of one subject.
    fn cell(&self, row: &Row, kind: Kind) -> String {
        let figures: Vec<String> = row
            .figures
            .iter()
            .enumerate()
            .map(|(at, figure)| {
                self.counts(row, kind, at).map_or_else(
                    || "–".to_owned(),
                    |value| format!("{value:.*}", figure.digits),
                )
            })
            .collect();
        if figures.iter().all(|figure| figure == "–") {
            return "–".to_owned();
        }
        figures.join(", ")
    }

    /// The first figure of the gateway's over that of `kind`.
    pub(crate) fn ratio(&self, row: &Row, kind: Kind) -> Option<f64> {
        let own = self.counts(row, Kind::Ftpwarden, 0)?;
        Some(own / self.counts(row, kind, 0)?)
    }

    /// A target, the value that it is about, and whether it is met.
    fn judged(&self, row: &Row, target: &Target) -> String {
        let unit = row
            .figures
            .get(target.figure)
            .map_or("", |figure| figure.unit);
        let sign = if target.at_least { "≥" } else { "≤" };
        let beyond = if target.beyond.is_some() {
            "added "
        } else {
            ""
        };
        let demand = match target.against {
            Some(kind) => format!("{beyond}{unit} {sign} {} × {}", target.bound, kind.name()),
            None => format!("{unit} {sign} {}", target.bound),
        };
        let Some(value) = self.value(row, target) else {
            return format!("{demand} | – | not measured");
        };
        let met = if target.at_least {
            value >= target.bound
        } else {
            value <= target.bound
        };
        let verdict = match (met, target.aim) {
            (true, _) => "met",
            (false, true) => "not reached (an aim)",
            (false, false) => "**missed**",
        };
        format!("{demand} | {value:.2} | {verdict}")
    }

    /// The value that a target bounds.
    fn value(&self, row: &Row, target: &Target) -> Option<f64> {
        let floor = match target.beyond {
            Some(kind) => self.counts(row, kind, target.figure)?,
            None => 0.0,
        };
        let own = self.counts(row, Kind::Ftpwarden, target.figure)? - floor;
        match target.against {
            Some(kind) => Some(own / (self.counts(row, kind, target.figure)? - floor)),
            None => Some(own),
        }
    }
}
