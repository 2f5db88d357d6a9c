//! The tables in `docs/benchmarks.md`: each between two markers, so that the words around them stay.

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What the design promises.
    Promises,
    /// The player beside others.
    Players,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Promises => "measured",
            Self::Players => "players",
        }
    }

    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Promises => &["what", "measured", "target", "ratio"],
            Self::Players => &[
                "what",
                "fleet-player",
                "mpv",
                "VLC",
                "gst-play-1.0",
                "target",
                "ratio",
            ],
        }
    }

    fn begin(self) -> String {
        format!("<!-- {}: begin -->", self.name())
    }

    fn end(self) -> String {
        format!("<!-- {}: end -->", self.name())
    }

    fn head(self) -> String {
        let rule = "---|".repeat(self.columns().len());
        format!("| {} |\n|{rule}\n", self.columns().join(" | "))
    }
}

/// One measured thing. Its first cell says what it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    cells: Vec<String>,
}

impl Row {
    fn new<const N: usize>(cells: [&str; N]) -> Self {
        Self {
            cells: cells.map(str::to_owned).into(),
        }
    }

    /// A figure with an upper target; the ratio is measured to target.
    pub(super) fn against(what: &str, measured: f64, unit: &str, target: f64) -> Self {
        Self::new([
            what,
            &format!("{} {unit}", figure(measured)),
            &format!("at most {} {unit}", figure(target)),
            &ratio(measured / target),
        ])
    }

    /// Two figures of the same kind; the ratio is the first to the second.
    pub(super) fn compared(what: &str, (one, other): (f64, f64), unit: &str, target: &str) -> Self {
        let measured = format!("{} {unit} to {} {unit}", figure(one), figure(other));
        Self::new([what, &measured, target, &ratio(one / other)])
    }

    /// A figure without a target.
    pub(super) fn plain(what: &str, measured: f64, unit: &str) -> Self {
        Self::text(what, &format!("{} {unit}", figure(measured)), "")
    }

    pub(super) fn text(what: &str, measured: &str, target: &str) -> Self {
        Self::new([what, measured, target, ""])
    }

    /// One cell a player, ours first; the ratio is ours to what the target speaks of.
    pub(super) fn beside(what: &str, of_each: &[String], target: &str, ours: Option<f64>) -> Self {
        let mut cells = vec![what.to_owned()];
        cells.extend_from_slice(of_each);
        cells.push(target.to_owned());
        cells.push(ours.map(ratio).unwrap_or_default());
        Self { cells }
    }

    fn what(&self) -> &str {
        self.cells.first().map_or("", String::as_str)
    }

    fn line(&self) -> String {
        format!("| {} |\n", self.cells.join(" | "))
    }
}

fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

pub(super) fn figure(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

/// Rows of one kind.
#[derive(Debug)]
pub(super) struct Table {
    kind: Kind,
    rows: Vec<Row>,
}

impl Table {
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            rows: Vec::new(),
        }
    }

    pub(super) fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn to_markdown(&self) -> String {
        let rows = self.rows.iter().map(Row::line);
        format!("{}{}", self.kind.head(), rows.collect::<String>())
    }

    /// `present` with these rows in its table: in the place of those of the same name, or at its end. What was not
    /// measured this time stays.
    pub(super) fn document(&self, present: &str) -> String {
        let (begin, end) = (self.kind.begin(), self.kind.end());
        match (present.find(&begin), present.find(&end)) {
            (Some(from), Some(to)) if from < to => {
                let (before, after) = (&present[..from], &present[to + end.len()..]);
                let (head, rows) = (self.kind.head(), self.merged(&present[from..to]));
                format!("{before}{begin}\n{head}{rows}{end}{after}")
            }
            _ => {
                let title = if present.is_empty() {
                    "# Benchmarks"
                } else {
                    present.trim_end()
                };
                format!("{title}\n\n{begin}\n{}{end}\n", self.to_markdown())
            }
        }
    }

    fn merged(&self, before: &str) -> String {
        let of_table = before.lines().filter(|line| line.starts_with("| "));
        let mut new: Vec<&Row> = self.rows.iter().collect();
        let mut text = String::new();
        for line in of_table.skip(1) {
            let begins = |row: &&Row| line.starts_with(&format!("| {} |", row.what()));
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
        let mut table = Table::new(Kind::Promises);
        table.extend([Row::against("Size", 4.0, "MB", 8.0)]);
        let first = table.document("# Benchmarks\n\nHow to read it.\n");
        assert!(
            first.contains("| Size | 4.0 MB | at most 8.0 MB | 0.50 |"),
            "{first}"
        );
        let mut other = Table::new(Kind::Promises);
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

    #[test]
    fn each_table_keeps_to_its_own_place() {
        let mut promises = Table::new(Kind::Promises);
        promises.extend([Row::plain("Boot", 20.0, "s")]);
        let mut players = Table::new(Kind::Players);
        let cells = ["1", "2", "3", "4"].map(str::to_owned);
        players.extend([Row::beside("Blank", &cells, "0 ms", Some(0.5))]);
        let document = players.document(&promises.document(""));
        assert!(document.contains("| Blank | 1 | 2 | 3 | 4 | 0 ms | 0.50 |"));
        assert!(document.contains("| Boot | 20.0 s |  |  |"));
        assert_eq!(
            promises.document(&players.document(&document)),
            document,
            "the same again changes nothing"
        );
    }
}
