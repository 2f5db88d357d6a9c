//! The table in `docs/benchmarks.md`: between two markers, so that the words around it stay.

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

    fn line(&self) -> String {
        let Self {
            what,
            measured,
            target,
            ratio,
        } = self;
        format!("| {what} | {measured} | {target} | {ratio} |\n")
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

const HEAD: &str = "| what | measured | target | ratio |\n|---|---|---|---|\n";

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
    pub(super) fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    pub(super) fn to_markdown(&self) -> String {
        let rows = self.rows.iter().map(Row::line);
        format!("{HEAD}{}", rows.collect::<String>())
    }

    /// `present` with these rows in its table: in the place of those of the same name, or at its end. What was not
    /// measured this time stays.
    pub(super) fn document(&self, present: &str) -> String {
        match (present.find(BEGIN), present.find(END)) {
            (Some(begin), Some(end)) if begin < end => {
                let (before, after) = (&present[..begin], &present[end + END.len()..]);
                let rows = self.merged(&present[begin..end]);
                format!("{before}{BEGIN}\n{HEAD}{rows}{END}{after}")
            }
            _ => {
                let title = if present.is_empty() {
                    "# Benchmarks"
                } else {
                    present.trim_end()
                };
                format!("{title}\n\n{BEGIN}\n{}{END}\n", self.to_markdown())
            }
        }
    }

    fn merged(&self, before: &str) -> String {
        let of_table = before.lines().filter(|line| line.starts_with("| "));
        let mut new: Vec<&Row> = self.rows.iter().collect();
        let mut text = String::new();
        for line in of_table.skip(1) {
            let begins = |row: &&Row| line.starts_with(&format!("| {} |", row.what));
            if let Some(place) = new.iter().position(begins) {
                text += &new.remove(place).line();
            } else {
                text += line;
                text.push('\n');
            }
        }
        text.extend(new.into_iter().map(Row::line));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_anew_takes_the_old_ones_place_and_the_rest_stays() {
        let mut table = Table::default();
        table.extend([Row::against("Size", 4.0, "MB", 8.0)]);
        let first = table.document("# Benchmarks\n\nHow to read it.\n");
        assert!(
            first.contains("| Size | 4.0 MB | at most 8.0 MB | 0.50 |"),
            "{first}"
        );
        let mut other = Table::default();
        other.extend([Row::plain("Boot", 20.0, "s")]);
        other.extend([Row::against("Size", 5.0, "MB", 8.0)]);
        let second = other.document(&first);
        assert!(second.starts_with("# Benchmarks\n\nHow to read it.\n"));
        let (size, boot) = (
            second.find("| Size | 5.0 MB |"),
            second.find("| Boot | 20.0 s |"),
        );
        assert!(size.is_some() && size < boot, "{second}");
        assert_eq!(second.matches("| Size |").count(), 1);
        // The same again changes nothing.
        assert_eq!(other.document(&second), second);
    }
}
