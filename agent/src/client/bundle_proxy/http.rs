//! As much of HTTP/1.1 (RFC 9112, RFC 9110 §14) as RAUC's downloader speaks, on the server's side.

use std::io::{self, BufRead, Read as _};

const MAX_LINE_BYTES: u64 = 4096;
const MAX_HEADERS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
}

/// What of the file is asked for, before its size is known to matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    Whole,
    From(u64),
    /// Both ends included, as on the wire.
    Closed(u64, u64),
    Last(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub range: Range,
    pub keep_alive: bool,
}

/// Reads one request's head; `None` when the peer closed instead of asking.
pub fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some(line) = read_line(reader)? else {
        return Ok(None);
    };
    let mut words = line.split(' ');
    let method = match words.next() {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Err(bad("only GET and HEAD are served")),
    };
    let path = words.next().ok_or_else(|| bad("no path"))?.to_owned();
    let mut keep_alive = match words.next() {
        Some("HTTP/1.1") => true,
        Some("HTTP/1.0") => false,
        _ => return Err(bad("not HTTP/1.x")),
    };
    let mut range = Range::Whole;
    for _ in 0..MAX_HEADERS {
        let line = read_line(reader)?.ok_or_else(|| bad("the head is cut"))?;
        if line.is_empty() {
            return Ok(Some(Request {
                method,
                path,
                range,
                keep_alive,
            }));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| bad("a header without `:`"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("range") {
            range = parse_range(value).ok_or_else(|| bad("a range that is not understood"))?;
        } else if name.eq_ignore_ascii_case("connection") {
            keep_alive &= !value.eq_ignore_ascii_case("close");
        }
    }
    Err(bad("too many headers"))
}

fn bad(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = reader.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        return Err(bad("a line is cut or too long"));
    }
    let text = String::from_utf8(line).map_err(|_| bad("not text"))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn parse_range(value: &str) -> Option<Range> {
    let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) => Some(Range::Closed(from, to)),
        (Ok(from), _) if to.is_empty() => Some(Range::From(from)),
        (_, Ok(last)) if from.is_empty() => Some(Range::Last(last)),
        _ => None,
    }
}

impl Range {
    /// Begin and end (excluded) within `size` bytes; `None` if no byte of it exists.
    pub fn within(self, size: u64) -> Option<(u64, u64)> {
        let (from, to) = match self {
            Self::Whole => return Some((0, size)),
            Self::From(from) => (from, size),
            Self::Closed(from, last) => (from, last.saturating_add(1).min(size)),
            Self::Last(count) => (size.saturating_sub(count), size),
        };
        (from < to).then_some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> io::Result<Option<Request>> {
        read_request(&mut text.as_bytes())
    }

    #[test]
    fn what_curl_asks_is_understood() {
        let request = read(
            "GET /s/bundle.raucb HTTP/1.1\r\nHost: 127.0.0.1:4\r\nRange: bytes=0-3\r\n\
             User-Agent: rauc/1.13\r\nAccept: */*\r\n\r\n",
        );
        let expected = Request {
            method: Method::Get,
            path: "/s/bundle.raucb".to_owned(),
            range: Range::Closed(0, 3),
            keep_alive: true,
        };
        assert_eq!(request.unwrap(), Some(expected));
        assert_eq!(read("").unwrap(), None);
    }

    #[test]
    fn what_is_not_served_is_refused() {
        for text in [
            "POST / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET / HTTP/1.1\r\nRange: pages=1-2\r\n\r\n",
            "GET / HTTP/1.1\r\nno header\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(5000))).is_err());
    }

    #[test]
    fn a_range_is_cut_at_the_files_end() {
        let check = |range: Range, expected| assert_eq!(range.within(100), expected, "{range:?}");
        check(Range::Whole, Some((0, 100)));
        check(Range::Closed(0, 3), Some((0, 4)));
        check(Range::Closed(90, 500), Some((90, 100)));
        check(Range::From(99), Some((99, 100)));
        check(Range::From(100), None);
        check(Range::Last(8), Some((92, 100)));
        check(Range::Last(0), None);
        check(Range::Closed(5, 4), None);
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_request(&mut bytes.as_slice());
        }
    }
}
