//! Bundles that the fake installs, and how it fetches them.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use fleet_protocol::{Sha256, Version};
use serde::{Deserialize, Serialize};

/// Ranges of the block device.
const STEP: u64 = 64 * 1024;
/// Linux' nbd gives a read 300 s; a test that waits longer has failed.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FakeBundle {
    pub version: Version,
    pub compatible: String,
    pub root_hash: Sha256,
}

impl FakeBundle {
    /// The file: the document, padded to `size` bytes.
    ///
    /// # Panics
    /// When `size` is too small for the document.
    pub fn to_bytes(&self, size: usize) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("it is plain data");
        bytes.push(b'\n');
        assert!(bytes.len() <= size, "a bundle needs {} bytes", bytes.len());
        bytes.resize(size, b'.');
        bytes
    }

    /// Stands for RAUC's manifest hash.
    pub fn manifest_hash(&self) -> Sha256 {
        Sha256::of(serde_json::to_vec(self).expect("it is plain data"))
    }

    /// Streams the bundle as RAUC does. `step` is called after each range with the part that is done.
    pub(super) fn fetch(url: &str, mut step: impl FnMut(u64, u64) -> bool) -> Result<Self, String> {
        let mut http = Http::new(url)?;
        let (_, size) = http.range(0, 4)?;
        http.range(size.saturating_sub(8), size)?;
        let mut document = Vec::new();
        let mut at = 0;
        while at < size {
            let to = (at + STEP).min(size);
            let (bytes, _) = http.range(at, to)?;
            if document.is_empty() {
                let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
                line.clone_into(&mut document);
            }
            at = to;
            if !step(at, size) {
                return Err("the fake was told to stop".to_owned());
            }
        }
        serde_json::from_slice(&document).map_err(|e| format!("Invalid bundle format: {e}"))
    }
}

/// One keep-alive connection, as one of curl's.
struct Http {
    stream: BufReader<TcpStream>,
    path: String,
}

impl Http {
    fn new(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("http://")
            .ok_or("only http:// is streamed")?;
        let (address, path) = rest.split_once('/').ok_or("no path")?;
        let network = |e: io::Error| format!("failed to configure streaming: {e}");
        let stream = TcpStream::connect(address).map_err(network)?;
        stream
            .set_read_timeout(Some(READ_TIMEOUT))
            .map_err(network)?;
        Ok(Self {
            stream: BufReader::new(stream),
            path: format!("/{path}"),
        })
    }

    /// The bytes `from..to` and the file's size.
    fn range(&mut self, from: u64, to: u64) -> Result<(Vec<u8>, u64), String> {
        let broken = |e: io::Error| format!("failed to configure streaming: {e}");
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: x\r\nRange: bytes={from}-{}\r\n\r\n",
            self.path,
            to - 1
        );
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(broken)?;
        let mut line = String::new();
        self.stream.read_line(&mut line).map_err(broken)?;
        let status = line.split(' ').nth(1).unwrap_or("0").to_owned();
        let mut size = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).map_err(broken)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            if name.eq_ignore_ascii_case("content-range") {
                size = value
                    .rsplit('/')
                    .next()
                    .and_then(|v| v.parse().ok())
                    .unwrap_or(0);
            }
        }
        match status.as_str() {
            "206" => {}
            "404" => return Err("not found: unexpected HTTP error code 404".to_owned()),
            other => {
                return Err(format!(
                    "failed to configure streaming: unexpected HTTP error code {other}"
                ));
            }
        }
        let length = usize::try_from(to - from).map_err(|e| e.to_string())?;
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).map_err(broken)?;
        Ok((bytes, size))
    }
}
