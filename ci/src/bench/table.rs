//! The table in `docs/benchmarks.md`: between two markers, so that the words around it stay.

use std::fmt::Write as _;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// One measured thing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    what: String,
    measured: String,
    target: String,
    ratio: String,
}

impl Row {
    /// A figure with an upper target; the ratio is measured to target.
    pub(super) fn against(what: &str, measured: f64, unit: &str, target: f64) -> Self {
        Self {
            what: what.to_owned(),
            measured: format!("{} {unit}", figure(measured)),
            target: format!("at most {} {unit}", figure(target)),
            ratio: format!("{:.2}", measured / target),
        }
    }

    /// Two figures of the same kind; the ratio is the first to the second.
    pub(super) fn compared(what: &str, (one, other): (f64, f64), unit: &str, target: &str) -> Self {
        Self {
            what: what.to_owned(),
            measured: format!("{} {unit} to {} {unit}", figure(one), figure(other)),
            target: target.to_owned(),
            ratio: format!("{:.2}", one / other),
        }
    }

    /// A figure without a target.
    pub(super) fn plain(what: &str, measured: f64, unit: &str) -> Self {
        Self::text(what, &format!("{} {unit}", figure(measured)), "")
    }

    pub(super) fn text(what: &str, measured: &str, target: &str) -> Self {
        Self {
            what: what.to_owned(),
            measured: measured.to_owned(),
            target: target.to_owned(),
            ratio: String::new(),
        }
    }
}

fn figure(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    pub(super) fn to_markdown(&self) -> String {
        let mut text = String::from("| what | measured | target | ratio |\n|---|---|---|---|\n");
        for row in &self.rows {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                row.what, row.measured, row.target, row.ratio
            );
        }
        text
    }

    /// `present` with this table in the place of the one before.
    pub(super) fn document(&self, present: &str) -> String {
        let table = format!("{BEGIN}\n{}{END}", self.to_markdown());
        match (present.find(BEGIN), present.find(END)) {
            (Some(begin), Some(end)) if begin < end => {
                let (before, after) = (&present[..begin], &present[end + END.len()..]);
                format!("{before}{table}{after}")
            }
            _ if present.is_empty() => format!("# Benchmarks\n\n{table}\n"),
            _ => format!("{}\n\n{table}\n", present.trim_end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_table_takes_the_old_ones_place_and_leaves_the_words() {
        let mut table = Table::default();
        table.add(Row::against("Size", 4.0, "MB", 8.0));
        let first = table.document("# Benchmarks\n\nHow to read it.\n");
        assert!(
            first.contains("| Size | 4.0 MB | at most 8.0 MB | 0.50 |"),
            "{first}"
        );
        let mut other = Table::default();
        other.add(Row::plain("Boot", 20.0, "s"));
        let second = other.document(&first);
        assert!(second.starts_with("# Benchmarks\n\nHow to read it.\n"));
        assert!(
            second.contains("| Boot | 20.0 s |") && !second.contains("Size"),
            "{second}"
        );
    }
}
