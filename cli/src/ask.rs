//! Questions to whoever sits at the terminal. Where nobody does, an error says which option answers instead.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use console::Term;

use crate::error::{CommandError, Kind, Result};

/// Longer lines are no answer.
const MAX_ANSWER_BYTES: usize = 4096;

/// A line, shown while it is typed. Left empty, it is the `default`.
///
/// # Errors
/// Kind usage with `hint` when nobody is there to ask.
pub(crate) fn line(question: &str, default: Option<&str>, hint: &str) -> Result<String> {
    somebody(question, hint)?;
    match default {
        Some(default) => prompt(&format!("{question} [{default}]: ")),
        None => prompt(&format!("{question}: ")),
    }
    let answer = next_line()?;
    match (answer.trim(), default) {
        ("", Some(default)) => Ok(default.to_owned()),
        ("", None) => Err(CommandError::usage(format!("{question} is missing")).hint(hint)),
        (answer, _) => Ok(answer.to_owned()),
    }
}

/// A line that is not shown.
///
/// # Errors
/// As [`line`].
pub(crate) fn secret(question: &str, hint: &str) -> Result<String> {
    somebody(question, hint)?;
    let terminal = Term::stderr();
    if !terminal.is_term() {
        return Err(nobody(question, hint));
    }
    prompt(&format!("{question}: "));
    let fail = |e| CommandError::io(format!("cannot read {question}"), e);
    let answer = terminal.read_secure_line().map_err(fail)?;
    if answer.is_empty() {
        return Err(CommandError::usage(format!("{question} is missing")).hint(hint));
    }
    Ok(answer)
}

/// A password that is to be, twice.
///
/// # Errors
/// As [`line`], and when the two differ.
pub(crate) fn new_secret(question: &str, hint: &str) -> Result<String> {
    let first = secret(question, hint)?;
    if secret(&format!("{question} once more"), hint)? == first {
        return Ok(first);
    }
    Err(CommandError::usage("the two are not the same").hint("try again: nothing was changed"))
}

/// Goes on only after `y`.
///
/// # Errors
/// Kind interrupted after anything else.
pub(crate) fn confirm(question: &str, hint: &str) -> Result<()> {
    if !is_somebody() {
        return Err(CommandError::usage("nobody is there to confirm").hint(hint));
    }
    prompt(&format!("{question} [y/N] "));
    if matches!(next_line()?.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(CommandError::new(Kind::Interrupted, "not confirmed").hint(hint))
}

/// One line of standard input, from a terminal or a script, without its end.
///
/// # Errors
/// When there is none.
pub(crate) fn next_line() -> Result<String> {
    let mut bytes = Vec::new();
    let fail = |e| CommandError::io("cannot read standard input", e);
    let mut input = std::io::stdin().lock();
    loop {
        let buffer = input.fill_buf().map_err(fail)?;
        let (used, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        bytes.extend_from_slice(&buffer[..used]);
        input.consume(used);
        if ended || bytes.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    parse_line(bytes)
}

fn parse_line(bytes: Vec<u8>) -> Result<String> {
    if bytes.is_empty() {
        return Err(
            CommandError::usage("standard input has ended before the answer")
                .hint("give it a line of text"),
        );
    }
    let text = String::from_utf8(bytes).ok();
    match text.filter(|text| text.len() <= MAX_ANSWER_BYTES) {
        Some(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
        None => Err(
            CommandError::usage("the line on standard input is no answer")
                .hint("give it one line of UTF-8 text"),
        ),
    }
}

/// Whether a person can be asked.
pub(crate) fn is_somebody() -> bool {
    std::io::stdin().is_terminal()
}

fn somebody(what: &str, hint: &str) -> Result<()> {
    if is_somebody() {
        Ok(())
    } else {
        Err(nobody(what, hint))
    }
}

fn nobody(what: &str, hint: &str) -> CommandError {
    CommandError::usage(format!("nobody is there to give {what}")).hint(hint)
}

fn prompt(text: &str) {
    let mut err = std::io::stderr();
    // A closed standard error is no reason to fail.
    let _ = write!(err, "{text}").and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_end_and_nothing_else() {
        let read = |text: &str| parse_line(text.as_bytes().to_vec()).unwrap();
        assert_eq!(read("a b \r\n"), "a b ");
        assert_eq!(read("\n"), "");
        assert_eq!(read("pass"), "pass");
    }

    #[test]
    fn what_is_no_line_of_text_is_refused() {
        let long = "x".repeat(MAX_ANSWER_BYTES + 1);
        for bytes in [&b""[..], b"\xff\n", long.as_bytes()] {
            let error = parse_line(bytes.to_vec()).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(!error.hints.is_empty());
        }
    }
}
