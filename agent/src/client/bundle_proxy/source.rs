//! Where a bundle's bytes come from.

use std::io::Read;
use std::time::Duration;

use fleet_device::content_range::ContentRange;
use ureq::http::{StatusCode, header};

use crate::client::ControlPlane;

/// A connection on which nothing comes for this long is given up and made anew.
const SILENCE: Duration = Duration::from_secs(20);

/// A bundle of a known size.
#[derive(Debug, Clone)]
pub struct BundleSource {
    pub size_bytes: u64,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub enum Place {
    /// A path on the control plane.
    ControlPlane { client: ControlPlane, path: String },
    /// A folder's file in the place of a server.
    #[cfg(test)]
    File { path: std::path::PathBuf },
}

/// Why a range could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Another try may do.
    #[error("{0}")]
    Passing(String),
    /// It is not there; it may be put there later.
    #[error("{0}")]
    Missing(String),
    /// It is not the bundle that it should be.
    #[error("{0}")]
    Wrong(String),
}

/// A response that begins where it was asked to.
pub(super) struct Opened {
    pub(super) reader: Box<dyn Read + Send>,
    /// Where it ends: never beyond what was asked, but a server may give less.
    pub(super) end: u64,
}

impl BundleSource {
    /// The bytes `from..to`, or the first of them.
    pub(super) fn open(&self, from: u64, to: u64) -> Result<Opened, SourceError> {
        match &self.place {
            #[cfg(test)]
            Place::File { path } => open_file(path, self.size_bytes, from, to)
                .map(|reader| Opened { reader, end: to })
                .map_err(|e| SourceError::Wrong(format!("{}: {e}", path.display()))),
            Place::ControlPlane { client, path } => {
                open_remote(client, path, self.size_bytes, from, to)
            }
        }
    }
}

#[cfg(test)]
fn open_file(
    path: &std::path::Path,
    size: u64,
    from: u64,
    to: u64,
) -> std::io::Result<Box<dyn Read + Send>> {
    use std::io::Seek as _;
    let mut file = std::fs::File::open(path)?;
    let found = file.metadata()?.len();
    if found != size {
        let reason = format!("it is {found} bytes, the release says {size}");
        return Err(std::io::Error::other(reason));
    }
    file.seek(std::io::SeekFrom::Start(from))?;
    Ok(Box::new(file.take(to - from)))
}

fn open_remote(
    client: &ControlPlane,
    path: &str,
    size: u64,
    from: u64,
    to: u64,
) -> Result<Opened, SourceError> {
    let response = client
        .bundle_range(path, from, to, SILENCE)
        .map_err(|e| SourceError::Passing(e.to_string()))?;
    let status = response.status();
    match status {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::OK => {
            let reason = "the server ignores ranges; put no proxy between it and the devices";
            return Err(SourceError::Missing(reason.to_owned()));
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            let reason = format!("the control plane does not have the bundle (HTTP {status})");
            return Err(SourceError::Missing(reason));
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let reason = format!("the bundle is shorter than the {size} bytes of the release");
            return Err(SourceError::Wrong(reason));
        }
        _ => return Err(SourceError::Passing(format!("HTTP {status}"))),
    }
    let range = response.headers().get(header::CONTENT_RANGE);
    let range = range.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let end = given(range, from, to, size)?;
    let body = response.into_body().into_with_config().limit(u64::MAX);
    Ok(Opened {
        reader: Box::new(body.reader()),
        end,
    })
}

/// Where the response with this `Content-Range` (RFC 9110, 14.4) to a request for `from..to` ends. Only
/// another size makes it another bundle: what else is odd may be a proxy's doing, and pass.
fn given(range: &str, from: u64, to: u64, size: u64) -> Result<u64, SourceError> {
    let reason = || format!("asked for {from}..{to} of {size} bytes, the server gives `{range}`");
    let parsed = range.parse::<ContentRange>();
    let range = parsed.map_err(|_| SourceError::Passing(reason()))?;
    if range.total.is_some_and(|total| total != size) {
        return Err(SourceError::Wrong(reason()));
    }
    if range.first != from {
        return Err(SourceError::Passing(reason()));
    }
    Ok(range.last.saturating_add(1).min(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_size_makes_it_another_bundle() {
        let check = |range: &str, expected: Result<u64, &str>| {
            let found = given(range, 100, 200, 1_000).map_err(|error| match error {
                SourceError::Wrong(_) => "wrong",
                SourceError::Missing(_) => "missing",
                SourceError::Passing(_) => "passing",
            });
            assert_eq!(found, expected, "{range}");
        };
        check("bytes 100-199/1000", Ok(200));
        check("bytes 100-149/1000", Ok(150));
        check("bytes 100-100/*", Ok(101));
        check("bytes 100-999/1000", Ok(200));
        check("bytes 100-199/1001", Err("wrong"));
        check("bytes 0-199/1000", Err("passing"));
        check("bytes 100-99/1000", Err("passing"));
        check("bytes */1000", Err("passing"));
        check("", Err("passing"));
    }
}
