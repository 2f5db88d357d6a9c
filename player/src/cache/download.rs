//! One file from a server, on a thread of its own.
//!
//! What is here of it already is not fetched again: the rest is asked for, on the condition that the
//! content is still the same (`Range` and `If-Range`, RFC 9110 §§13.1.5, 14). A server that ignores that
//! sends everything, and the file begins anew. Content that is longer than the manifest says, or another
//! one, is thrown away; a download that broke off stays. Each read has a deadline, and so has the whole.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet_device::content_range::ContentRange;
use fleet_device::files::FileError;
use fleet_device::limit::Limiter;
use fleet_protocol::player::Item;
use fleet_protocol::{AssetId, Sha256};
use ureq::http::{Response, StatusCode, Uri, header};
use ureq::{Agent, Body};

use super::files::{CHUNK_BYTES, Files, fault};
use super::partial::Partial;
use crate::core::cache::Fault;

/// From a store to its CDN, say.
const MAX_REDIRECTS: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// Nothing came for so long.
    pub stall: Duration,
    /// Of one download; what came by then is resumed.
    pub overall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            overall: Duration::from_hours(2),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{asset_id}: {cause}")]
pub(super) struct DownloadError {
    pub(super) asset_id: AssetId,
    #[source]
    pub(super) cause: Cause,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// Not repeated here: it may hold a secret.
    #[error("its address is no URL")]
    Address,
    #[error("no answer: {0}")]
    Request(#[source] Box<ureq::Error>),
    #[error("HTTP {0}")]
    Status(StatusCode),
    #[error("asked for the rest from byte {from} on, the server gives `{given}`")]
    Range { from: u64, given: String },
    #[error("it broke off after {received} bytes: {source}")]
    Broken { received: u64, source: io::Error },
    #[error("it ended after {received} of {expected} bytes")]
    Short { received: u64, expected: u64 },
    #[error("it is longer than the {limit} bytes of the manifest")]
    TooLong { limit: u64 },
    #[error("its SHA-256 is {found}")]
    Checksum { found: Sha256 },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("nobody wants it any more")]
    Cancelled,
}

impl DownloadError {
    pub(super) fn fault(&self) -> Fault {
        match &self.cause {
            Cause::Status(status) => Fault::Http(status.as_u16()),
            Cause::Address | Cause::Request(_) | Cause::Broken { .. } | Cause::Short { .. } => {
                Fault::Network
            }
            Cause::Range { .. } | Cause::TooLong { .. } | Cause::Checksum { .. } => {
                Fault::WrongContent
            }
            Cause::File(error) => fault(error),
            Cause::Cancelled => Fault::Cancelled,
        }
    }
}

/// One download.
#[derive(Debug, Clone)]
pub(super) struct Download {
    pub(super) item: Item,
    pub(super) files: Files,
    pub(super) agent: Agent,
    pub(super) timeouts: Timeouts,
    pub(super) limiter: Limiter,
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Download {
    /// Its size, once it is whole and in its place.
    pub(super) fn run(&self) -> Result<u64, DownloadError> {
        self.fetch().map_err(|cause| DownloadError {
            asset_id: self.item.asset_id.clone(),
            cause,
        })
    }

    fn fetch(&self) -> Result<u64, Cause> {
        let mut partial = Partial::open(&self.files, self.item.checksum_sha256)?;
        if partial.is_whole() {
            // The power went before it was in its place.
            return Ok(partial.adopt()?);
        }
        if partial.length() >= self.item.file_size_bytes {
            partial.restart()?;
        }
        let response = self.request(&partial)?;
        let total = match self.accept(&response, &mut partial) {
            Ok(total) => total,
            Err(cause) => return Err(Self::settle(partial, cause)),
        };
        let body = response.into_body().into_with_config().limit(u64::MAX);
        match self.receive(body.reader(), &mut partial) {
            Err(cause) if !partial.is_whole() => Err(Self::settle(partial, cause)),
            _ => self.finish(partial, total),
        }
    }

    fn request(&self, partial: &Partial) -> Result<Response<Body>, Cause> {
        let uri: Uri = self.item.url.parse().map_err(|_| Cause::Address)?;
        let mut request = self
            .agent
            .get(uri)
            .config()
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            .timeout_connect(Some(self.timeouts.connect))
            .timeout_per_read(Some(self.timeouts.stall))
            .timeout_global(Some(self.timeouts.overall))
            .build()
            .header(header::ACCEPT_ENCODING, "identity");
        let from = partial.length();
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
            if let Some(etag) = partial.etag() {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        request
            .call()
            .map_err(|error| Cause::Request(Box::new(error)))
    }

    /// Reads the answer's head: from which byte on it goes, and how long the whole is, if it says so.
    fn accept(
        &self,
        response: &Response<Body>,
        partial: &mut Partial,
    ) -> Result<Option<u64>, Cause> {
        let text = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok()
        };
        let total = match response.status() {
            StatusCode::OK => {
                partial.restart()?;
                response.body().content_length()
            }
            StatusCode::PARTIAL_CONTENT => {
                let range = text(header::CONTENT_RANGE).unwrap_or_default();
                let from = partial.length();
                let given = range.parse::<ContentRange>().ok();
                let given = given.filter(|given| given.first == from);
                let given = given.ok_or_else(|| Cause::Range {
                    from,
                    given: range.to_owned(),
                })?;
                given.total
            }
            status => return Err(Cause::Status(status)),
        };
        let limit = self.item.file_size_bytes;
        if total.is_some_and(|total| total > limit) {
            return Err(Cause::TooLong { limit });
        }
        // A weak one says too little for parts (RFC 9110 §13.1.5).
        let etag = text(header::ETAG).filter(|etag| !etag.starts_with("W/"));
        partial.set_etag(etag);
        Ok(total)
    }

    fn receive(&self, mut body: impl Read, partial: &mut Partial) -> Result<(), Cause> {
        let limit = self.item.file_size_bytes;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = match body.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    let received = partial.length();
                    return Err(Cause::Broken { received, source });
                }
            };
            let passed = self.limiter.pass(length);
            if passed.is_err() || self.cancelled.load(Ordering::Relaxed) {
                return Err(Cause::Cancelled);
            }
            if partial.length() + u64::try_from(length).unwrap_or(u64::MAX) > limit {
                return Err(Cause::TooLong { limit });
            }
            partial.write(&chunk[..length])?;
        }
    }

    fn finish(&self, partial: Partial, total: Option<u64>) -> Result<u64, Cause> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Cause::Cancelled);
        }
        if partial.is_whole() {
            return Ok(partial.adopt()?);
        }
        let received = partial.length();
        let expected = total.unwrap_or(self.item.file_size_bytes);
        if received < expected {
            return Err(Cause::Short { received, expected });
        }
        let found = partial.digest();
        Err(Self::settle(partial, Cause::Checksum { found }))
    }

    /// What is no part of the file is thrown away, the rest kept for the next time.
    fn settle(partial: Partial, cause: Cause) -> Cause {
        let useless = match &cause {
            Cause::Range { .. } | Cause::TooLong { .. } | Cause::Checksum { .. } => true,
            Cause::Status(status) => *status == StatusCode::RANGE_NOT_SATISFIABLE,
            _ => false,
        };
        if useless && let Err(error) = partial.discard() {
            return Cause::File(error);
        }
        cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_beyond_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let limit = 100_000;
        let item = serde_json::json!({
            "assetId": "a", "type": "VIDEO", "url": "http://cdn.example/a",
            "checksumSha256": Sha256::of("a"), "widthPx": 640, "heightPx": 360,
            "fileSizeBytes": limit
        });
        let download = Download {
            item: serde_json::from_value(item).unwrap(),
            files: files.clone(),
            agent: Agent::new_with_defaults(),
            timeouts: Timeouts::default(),
            limiter: Limiter::default(),
            cancelled: Arc::default(),
        };
        let mut partial = Partial::open(&files, Sha256::of("a")).unwrap();
        let endless = io::repeat(7).take(10 * limit);
        let ended = download.receive(endless, &mut partial);
        assert!(matches!(ended, Err(Cause::TooLong { .. })), "{ended:?}");
        assert!(partial.length() <= limit);
    }
}
