//! Everything that is printed: results on standard output (text or JSON), everything else on
//! standard error.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::args::Global;
use crate::error::CommandError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// How a word is shown, where colours are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Busy,
    Bad,
    Dim,
    Strong,
}

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the command line"
)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
    color: bool,
    error_color: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonError<'a> {
    kind: &'a str,
    exit_code: u8,
    message: &'a str,
    causes: Vec<String>,
    hints: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

impl Output {
    pub fn new(global: &Global) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let decide = |terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !no_color,
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            color: decide(std::io::stdout().is_terminal()) && !global.json,
            error_color: decide(std::io::stderr().is_terminal()),
        }
    }

    /// The command's result: `value` as JSON, or what `human` makes of it.
    pub fn result<T: Serialize>(self, value: &T, human: impl FnOnce(&T) -> String) {
        if self.json {
            let mut text = serde_json::to_string_pretty(value).expect("results are plain data");
            text.push('\n');
            print(&text);
        } else if !self.quiet {
            print(&human(value));
        }
    }

    /// One JSON value a line, or one line of text: for results that come one after the other.
    pub fn line<T: Serialize>(self, value: &T, human: impl FnOnce(&T) -> String) {
        if self.json {
            let mut text = serde_json::to_string(value).expect("results are plain data");
            text.push('\n');
            print(&text);
        } else {
            print(&human(value));
        }
    }

    /// Bytes as they are, such as a script or a file.
    pub fn raw(self, bytes: &[u8]) {
        let _ = std::io::stdout().write_all(bytes);
    }

    /// Something worth knowing that is not the result.
    pub fn note(self, text: &str) {
        if !self.quiet {
            // A closed standard error is no reason to fail.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    pub fn error(self, error: &CommandError) {
        let mut text = String::new();
        if self.json {
            let shape = serde_json::json!({"error": JsonError {
                kind: error.kind.name(),
                exit_code: error.kind.exit_code(),
                message: &error.message,
                causes: error.causes(),
                hints: &error.hints,
                code: error.code.as_deref(),
            }});
            text = format!("{shape}\n");
        } else {
            let (red, cyan, off) = if self.error_color {
                ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m")
            } else {
                ("", "", "")
            };
            text += &format!("{red}Error:{off} {}\n", error.message);
            for cause in error.causes() {
                text += &format!("  because: {cause}\n");
            }
            for hint in &error.hints {
                text += &format!("{cyan}Hint:{off} {hint}\n");
            }
        }
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A bar for so many bytes, with rate and time left; drawn on a terminal only.
    pub fn byte_bar(self, total: u64, what: &str) -> ProgressBar {
        self.bar(
            total,
            what,
            "{msg:<12} {bar:32} {bytes:>10}/{total_bytes} {binary_bytes_per_sec:>12}  {eta}",
        )
    }

    /// A bar for so many things; drawn on a terminal only.
    pub fn count_bar(self, total: u64, what: &str) -> ProgressBar {
        self.bar(total, what, "{msg:<12} {bar:32} {pos}/{len}  {elapsed}")
    }

    fn bar(self, total: u64, what: &str, template: &str) -> ProgressBar {
        let target = if self.quiet || self.json {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let style = ProgressStyle::with_template(template)
            .expect("the templates are fixed")
            .progress_chars("━╸─");
        ProgressBar::with_draw_target(Some(total), target)
            .with_style(style)
            .with_message(what.to_owned())
    }

    /// Rows under a header, in columns. Cells may be painted: escape sequences have no width.
    pub fn table(self, header: &[&str], rows: &[Vec<String>]) -> String {
        let mut widths: Vec<usize> = header.iter().map(|h| h.width()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(visible_width(cell));
            }
        }
        let titles: Vec<String> = header.iter().map(|h| h.to_uppercase()).collect();
        let mut text = self.paint(Tone::Dim, &line(&titles, &widths)) + "\n";
        for row in rows {
            text += &line(row, &widths);
            text.push('\n');
        }
        text
    }

    /// `name: value` lines with the values below one another.
    pub fn fields(self, fields: &[(&str, String)]) -> String {
        let width = fields.iter().map(|(n, _)| n.width()).max().unwrap_or(0) + 1;
        let mut text = String::new();
        for (name, value) in fields {
            let name = format!("{name}:");
            text += &format!(
                "{} {value}\n",
                self.paint(Tone::Dim, &format!("{name:<width$}"))
            );
        }
        text
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        text += cell;
        if index + 1 < cells.len() {
            text += &" ".repeat(width.saturating_sub(visible_width(cell)) + 2);
        }
    }
    text
}

fn visible_width(cell: &str) -> usize {
    let mut plain = String::new();
    let mut rest = cell.chars();
    while let Some(character) = rest.next() {
        if character == '\x1b' {
            for skipped in rest.by_ref() {
                if skipped == 'm' {
                    break;
                }
            }
        } else {
            plain.push(character);
        }
    }
    plain.width()
}

/// A reader that went away (`| head`) is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// `1.4 MiB`: for people; JSON has the exact number.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub fn human_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{bytes} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// Text that came over the network, without the control characters that could redraw a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn painted_cells_line_up_with_plain_ones() {
        assert_eq!(visible_width("\x1b[32mok\x1b[0m"), 2);
        assert_eq!(visible_width("屏"), 2);
    }

    #[test]
    fn control_characters_from_the_network_are_not_printed() {
        assert_eq!(printable("a\x1b[2Jb"), "a\u{fffd}[2Jb");
    }

    #[test]
    fn bytes_are_rounded_for_people() {
        assert_eq!(human_bytes(1023), "1023 B");
        assert_eq!(human_bytes(1536), "1.5 KiB");
    }
}
