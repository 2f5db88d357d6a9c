//! Which decoders have failed with which files, so that others are tried with those.
//!
//! Hardware hangs and stumbles over films that software plays. The other films keep it: a decoder that has failed with
//! all of them costs none its turn, since the next item is prepared while the present one plays.

use std::path::{Path, PathBuf};

/// So long a decoder is not tried again with a file that it failed with.
const AVOIDED_NS: u64 = 3_600_000_000_000;

#[derive(Debug)]
struct Failed {
    path: PathBuf,
    element: String,
    until_ns: u64,
}

#[derive(Debug, Default)]
pub(super) struct Trust(Vec<Failed>);

impl Trust {
    pub(super) fn lose(&mut self, path: &Path, element: &str, now_ns: u64) {
        self.0
            .retain(|failed| failed.path != path || failed.element != element);
        self.0.push(Failed {
            path: path.to_owned(),
            element: element.to_owned(),
            until_ns: now_ns.saturating_add(AVOIDED_NS),
        });
    }

    /// What `path` is decoded without.
    pub(super) fn avoided(&mut self, path: &Path, now_ns: u64) -> Vec<String> {
        self.0.retain(|failed| failed.until_ns > now_ns);
        let of_this = self.0.iter().filter(|failed| failed.path == path);
        of_this.map(|failed| failed.element.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_is_avoided_for_a_while_with_the_file_that_it_failed_with() {
        let (one, other) = (Path::new("/cache/one"), Path::new("/cache/other"));
        let mut trust = Trust::default();
        trust.lose(one, "v4l2h264dec", 0);
        trust.lose(one, "vah264dec", AVOIDED_NS / 2);
        assert_eq!(
            trust.avoided(one, AVOIDED_NS - 1),
            ["v4l2h264dec", "vah264dec"]
        );
        assert_eq!(trust.avoided(other, 0), [""; 0]);
        // From its last failure on.
        trust.lose(one, "v4l2h264dec", AVOIDED_NS - 1);
        assert_eq!(trust.avoided(one, AVOIDED_NS * 3 / 2), ["v4l2h264dec"]);
        assert_eq!(trust.avoided(one, AVOIDED_NS * 2), [""; 0]);
    }
}
