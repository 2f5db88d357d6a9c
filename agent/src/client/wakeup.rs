//! Server-sent events (HTML living standard, §9.2), as far as wake-ups need them.

use std::io::{self, BufRead as _, BufReader, Read};

/// A longer line is no wake-up.
const MAX_LINE_BYTES: u64 = 16 * 1024;

/// An open stream. Blocks in [`Self::next_wakeup`]; belongs on a thread of its own.
pub struct WakeupStream {
    lines: BufReader<Box<dyn Read + Send>>,
}

impl std::fmt::Debug for WakeupStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WakeupStream(..)")
    }
}

impl WakeupStream {
    pub fn new(body: impl Read + Send + 'static) -> Self {
        Self {
            lines: BufReader::with_capacity(1024, Box::new(body)),
        }
    }

    /// Waits for the next wake-up and gives its data; `None` when the stream has ended in order.
    pub fn next_wakeup(&mut self) -> io::Result<Option<String>> {
        let mut data = String::new();
        let mut is_wakeup = false;
        loop {
            let mut line = Vec::new();
            let read = (&mut self.lines)
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            if !line.ends_with(b"\n") && read as u64 == MAX_LINE_BYTES {
                return Err(io::Error::other("a line of the wake-up stream is too long"));
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                if is_wakeup {
                    return Ok(Some(data));
                }
                data.clear();
                continue;
            }
            match line.split_once(':').unwrap_or((line, "")) {
                ("event", value) => is_wakeup = value.trim_start() == "wakeup",
                ("data", value) => value.trim_start().clone_into(&mut data),
                // Comments keep the connection alive; ids and retry times are of no use here.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wakeups(text: &str) -> Vec<String> {
        let mut stream = WakeupStream::new(io::Cursor::new(text.to_owned()));
        std::iter::from_fn(|| stream.next_wakeup().unwrap()).collect()
    }

    #[test]
    fn wakeups_are_told_from_comments_and_other_events() {
        let text = ": hello\n\nevent: wakeup\ndata: {\"reason\":\"target\"}\n\n\
                    event: other\ndata: x\n\nevent: wakeup\r\ndata:{}\r\n\r\n: ping\n\n";
        assert_eq!(wakeups(text), ["{\"reason\":\"target\"}", "{}"]);
    }

    #[test]
    fn a_stream_cut_in_the_middle_of_an_event_gives_none() {
        assert!(wakeups("event: wakeup\ndata: {}").is_empty());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let text = "x".repeat(100_000);
        let mut stream = WakeupStream::new(io::Cursor::new(text));
        assert!(stream.next_wakeup().is_err());
    }
}
