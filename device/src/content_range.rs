//! `Content-Range` of an answer that holds part of a file (RFC 9110, §14.4).

use std::str::FromStr;

/// `bytes 100-199/200`: the bytes from `first` to `last`, both included, of `total`, if that is said. Never empty, and
/// never beyond the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    pub first: u64,
    pub last: u64,
    pub total: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not like `bytes 100-199/200`")]
pub struct ParseContentRangeError;

impl FromStr for ContentRange {
    type Err = ParseContentRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| ParseContentRangeError);
        let rest = text.strip_prefix("bytes ").ok_or(ParseContentRangeError)?;
        let (span, total) = rest.split_once('/').ok_or(ParseContentRangeError)?;
        let (first, last) = span.split_once('-').ok_or(ParseContentRangeError)?;
        let total = (total != "*").then(|| number(total)).transpose()?;
        let range = Self {
            first: number(first)?,
            last: number(last)?,
            total,
        };
        let is_part = range.first <= range.last && total.is_none_or(|total| range.last < total);
        is_part.then_some(range).ok_or(ParseContentRangeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_part_of_a_file_is_one() {
        let range = |first, last, total| ContentRange { first, last, total };
        let check = |text: &str, expected: Option<ContentRange>| {
            assert_eq!(text.parse().ok(), expected, "{text}");
        };
        check("bytes 100-199/200", Some(range(100, 199, Some(200))));
        check("bytes 0-0/*", Some(range(0, 0, None)));
        for text in [
            "",
            "bytes */200",
            "bytes 100-99/200",
            "bytes 100-200/200",
            "items 100-199/200",
            "bytes 100-199",
            "bytes -199/200",
            "bytes 1e2-199/200",
        ] {
            check(text, None);
        }
    }
}
