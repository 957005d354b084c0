//! Figures of several rounds, the tables they are printed in, and what was aimed at.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What one quantity was in each round; no number where it was not measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figure(Vec<f64>);

impl Figure {
    pub(crate) fn of(rounds: impl IntoIterator<Item = Option<f64>>) -> Self {
        let rounds = rounds.into_iter();
        Self(rounds.map(|value| value.unwrap_or(f64::NAN)).collect())
    }

    fn measured(&self) -> impl Iterator<Item = f64> {
        self.0.iter().copied().filter(|value| value.is_finite())
    }

    /// The one in the middle; `None` where nothing was measured.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.measured().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = sorted.get(middle)?;
        let lower = if sorted.len().is_multiple_of(2) {
            sorted.get(middle - 1)?
        } else {
            upper
        };
        Some(f64::midpoint(*lower, *upper))
    }

    /// Half of what lies between the least and the most, in parts of the median.
    fn spread(&self) -> Option<f64> {
        let least = self.measured().reduce(f64::min)?;
        let most = self.measured().reduce(f64::max)?;
        let half = (most - least) / 2.0;
        // Nothing but zeros has no spread.
        Some(if half > 0.0 {
            half / self.median()?
        } else {
            0.0
        })
    }

    /// This by another of the same rounds, round by round: what disturbs a round disturbs both.
    pub(crate) fn by(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self::of(pairs.map(|(own, other)| Some(own / other)))
    }

    pub(crate) fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self::of(self.0.iter().map(|value| Some(change(*value))))
    }

    fn shown(&self) -> String {
        let Some(median) = self.median() else {
            return "-".to_owned();
        };
        let spread = self.spread().filter(|_| self.0.len() > 1);
        let spread = spread.map_or(String::new(), |spread| format!(" ±{:.0}%", spread * 100.0));
        format!("{}{spread}", number(median))
    }
}

/// Where a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// What something may cost, and by which part of that it may be off.
    Budget {
        cost: f64,
        tolerance: f64,
    },
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Budget { cost, tolerance } => value <= cost * (1.0 + tolerance),
        }
    }

    fn verdict(self, value: f64) -> &'static str {
        match self {
            Self::Budget { .. } if !self.is_met(value) => "OVER BUDGET",
            Self::Budget { cost, tolerance } if value < cost * (1.0 - tolerance) => {
                "met: the budget could be lowered"
            }
            _ if self.is_met(value) => "met",
            _ => "MISSED",
        }
    }
}

/// A figure and where it should be.
#[derive(Clone, Debug)]
struct Aim {
    what: String,
    unit: &'static str,
    figure: Figure,
    target: Target,
}

/// A table of one group of cells, and the aims that it was made for.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    columns: &'static [&'static str],
    rows: Vec<(String, Vec<Figure>)>,
    aims: Vec<Aim>,
    complaints: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &'static [&'static str]) -> Self {
        let (rows, aims, complaints) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            title: title.into(),
            columns,
            rows,
            aims,
            complaints,
        }
    }

    /// A row with a figure for each column.
    pub(crate) fn row(&mut self, label: impl Into<String>, figures: Vec<Figure>) {
        self.rows.push((label.into(), figures));
    }

    /// A row that says what the next ones are.
    pub(crate) fn heading(&mut self, label: &str) {
        self.row(format!("**{label}**"), vec![]);
    }

    pub(crate) fn aim(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        figure: Figure,
        target: Target,
    ) {
        let what = what.into();
        self.aims.push(Aim {
            what,
            unit,
            figure,
            target,
        });
    }

    /// What went wrong and is no figure.
    pub(crate) fn complain(&mut self, complaints: impl IntoIterator<Item = String>) {
        self.complaints.extend(complaints);
    }

    /// What costs more than its budget allows, or was not measured.
    pub(crate) fn over_budget(&self) -> impl Iterator<Item = String> {
        let budgets = self.aims.iter();
        let budgets = budgets.filter(|aim| matches!(aim.target, Target::Budget { .. }));
        let over = budgets.filter(|aim| !aim.is_met());
        over.map(|aim| format!("{}: {}", aim.what, aim.unit))
    }

    /// The table as text.
    pub(crate) fn shown(&self) -> String {
        let heads = self.columns.iter().map(|&column| column.to_owned());
        let mut lines = vec![[String::new()].into_iter().chain(heads).collect::<Vec<_>>()];
        for (label, figures) in &self.rows {
            let cells = self.columns.iter().enumerate();
            let cells =
                cells.map(|(column, _)| figures.get(column).map_or(String::new(), Figure::shown));
            lines.push([label.clone()].into_iter().chain(cells).collect());
        }
        let mut text = format!("\n## {}\n\n{}", self.title, aligned(&lines));
        if !self.aims.is_empty() {
            let head = ["aim", "measured", "target", ""]
                .map(str::to_owned)
                .to_vec();
            let lines: Vec<_> = [head]
                .into_iter()
                .chain(self.aims.iter().map(Aim::line))
                .collect();
            let _ = write!(text, "\n{}", aligned(&lines));
        }
        for complaint in &self.complaints {
            let _ = writeln!(text, "! {complaint}");
        }
        text
    }

    /// Everything in it, every round apart.
    pub(crate) fn json(&self) -> Value {
        let mut heading = None;
        let rows = self.rows.iter().filter_map(|(label, figures)| {
            if figures.is_empty() {
                heading = Some(label.trim_matches('*'));
                return None;
            }
            let cells = self.columns.iter().zip(figures);
            let cells = cells.map(|(column, figure)| ((*column).to_owned(), json!(figure.0)));
            let figures: serde_json::Map<_, _> = cells.collect();
            Some(json!({"under": heading, "row": label, "figures": figures}))
        });
        let aims = self.aims.iter().map(|aim| {
            let (side, bound) = match aim.target {
                Target::AtLeast(bound) => ("at_least", bound),
                Target::AtMost(bound) => ("at_most", bound),
                Target::Budget { cost, .. } => ("budget", cost),
            };
            let measured = aim.figure.median();
            let met = measured.map(|value| aim.target.is_met(value));
            json!({"aim": aim.what, "unit": aim.unit, "rounds": aim.figure.0, "measured": measured, side: bound, "met": met})
        });
        let (rows, aims): (Vec<_>, Vec<_>) = (rows.collect(), aims.collect());
        json!({"title": self.title, "rows": rows, "aims": aims, "complaints": self.complaints})
    }
}

impl Aim {
    fn is_met(&self) -> bool {
        let measured = self.figure.median();
        measured.is_some_and(|value| self.target.is_met(value))
    }

    fn line(&self) -> Vec<String> {
        let (side, bound, slack) = match self.target {
            Target::AtLeast(bound) => ("≥", bound, String::new()),
            Target::AtMost(bound) => ("≤", bound, String::new()),
            Target::Budget { cost, tolerance } => {
                ("≤", cost, format!(" + {:.0} %", tolerance * 100.0))
            }
        };
        let verdict = self
            .figure
            .median()
            .map_or("not measured", |value| self.target.verdict(value));
        vec![
            self.what.clone(),
            self.figure.shown(),
            format!("{side} {}{slack} {}", number(bound), self.unit),
            verdict.to_owned(),
        ]
    }
}

/// The cells of Markdown's tables, each column as wide as its widest cell.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if column == 0 {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let _ = write!(
                    text,
                    "|{}{}",
                    "-".repeat(width + 1),
                    if column == 0 { "-" } else { ":" }
                );
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Three digits, and none behind the point where there are more before it.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^53"
)]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}
