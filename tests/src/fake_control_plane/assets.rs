//! Files by name, whole or in part (RFC 9110, §14), as a CDN gives them.

use super::Shared;
use super::answers::problem;
use super::http::{Request, Response};

impl Shared {
    /// Without a token: the address is the secret.
    pub(super) fn asset(&self, name: &str, request: &Request) -> Response {
        let is_name = !name.contains(['/', '\\']) && !name.starts_with('.');
        let file = is_name.then(|| std::fs::read(self.folder.join(name)).ok());
        let Some(file) = file.flatten() else {
            return problem(404, request);
        };
        let kind = match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("jpg" | "jpeg") => "image/jpeg",
            Some("png") => "image/png",
            Some("mp4") => "video/mp4",
            Some("webm") => "video/webm",
            _ => "application/octet-stream",
        };
        let size = file.len();
        let response = match request
            .headers
            .get("range")
            .map(|value| part_of(value, size))
        {
            // One that is not understood is ignored.
            None | Some(Part::Whole) => Response::new(200).body(file),
            Some(Part::Outside) => {
                return Response::new(416).header("content-range", &format!("bytes */{size}"));
            }
            Some(Part::Bytes { from, to }) => Response::new(206)
                .header("content-range", &format!("bytes {from}-{to}/{size}"))
                .body(file[from..=to].to_vec()),
        };
        response
            .header("content-type", kind)
            .header("accept-ranges", "bytes")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// Both ends included.
    Bytes {
        from: usize,
        to: usize,
    },
    Outside,
}

fn part_of(range: &str, size: usize) -> Part {
    let ends = range.strip_prefix("bytes=").and_then(|r| r.split_once('-'));
    let Some((from, to)) = ends else {
        return Part::Whole;
    };
    let last = size.saturating_sub(1);
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) if from <= to => (from, to.min(last)),
        (Ok(from), Err(_)) if to.is_empty() => (from, last),
        // The last so many.
        (Err(_), Ok(count)) if from.is_empty() && count > 0 => (size.saturating_sub(count), last),
        _ => return Part::Whole,
    };
    if from < size {
        Part::Bytes { from, to }
    } else {
        Part::Outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_its_bytes_by_either_end() {
        let check =
            |range: &str, expected: Part| assert_eq!(part_of(range, 10), expected, "{range}");
        let bytes = |from, to| Part::Bytes { from, to };
        check("bytes=0-", bytes(0, 9));
        check("bytes=4-6", bytes(4, 6));
        check("bytes=9-20", bytes(9, 9));
        check("bytes=-3", bytes(7, 9));
        check("bytes=-30", bytes(0, 9));
        check("bytes=10-", Part::Outside);
        check("bytes=6-4", Part::Whole);
        check("lines=1-2", Part::Whole);
        check("bytes=0-1,4-5", Part::Whole);
    }
}
