//! Who the device is, as the agent keeps it: the folder `identity` with `identity.json`, `token`, `ca.pem`,
//! `device.cert.pem` and `device.key.pem`. The player reads it and never writes it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

const MAX_FILE_BYTES: u64 = 1024 * 1024;
const CA: &str = "ca.pem";
const CERTIFICATE: &str = "device.cert.pem";
const KEY: &str = "device.key.pem";
/// Where Debian and Yocto alike keep the public CAs.
const SYSTEM_CAS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The device's own secret, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceToken(String);

impl DeviceToken {
    /// `None` if it has other characters than a header may.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_visible = text.bytes().all(|b| b.is_ascii_graphic());
        (is_visible && !text.is_empty()).then(|| Self(text.to_owned()))
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl std::fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceToken(..)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{} is missing or empty: the device is not paired", .0.display())]
    Missing(PathBuf),
    #[error("reading {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is damaged: {detail}", path.display())]
    Damaged { path: PathBuf, detail: String },
}

/// How to reach the control plane, and as whom.
#[derive(Clone)]
pub struct Identity {
    /// `https://host[:port]`
    pub server_url: String,
    pub token: DeviceToken,
    folder: PathBuf,
    ca_pem: Option<String>,
    /// Certificate and key.
    client_pem: Option<(String, String)>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("server_url", &self.server_url)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityFile {
    server_url: String,
}

impl Identity {
    /// Without files, for plain http.
    pub fn plain(server_url: &str, token: DeviceToken) -> Self {
        Self {
            server_url: server_url.to_owned(),
            token,
            folder: PathBuf::new(),
            ca_pem: None,
            client_pem: None,
        }
    }

    /// Reads the folder. The client's certificate may be absent; the token may not.
    pub fn read(folder: &Path) -> Result<Self, IdentityError> {
        let file = |name: &str| folder.join(name);
        let need =
            |name: &str| read_text(&file(name))?.ok_or_else(|| IdentityError::Missing(file(name)));
        let damaged = |name: &str, detail: String| IdentityError::Damaged {
            path: file(name),
            detail,
        };
        let identity: IdentityFile = serde_json::from_str(&need("identity.json")?)
            .map_err(|error| damaged("identity.json", error.to_string()))?;
        let token = DeviceToken::parse(&need("token")?)
            .ok_or_else(|| damaged("token", "it has characters that no token has".to_owned()))?;
        let certificate = read_text(&file(CERTIFICATE))?;
        let client_pem = match certificate {
            Some(certificate) => Some((certificate, need(KEY)?)),
            None => None,
        };
        Ok(Self {
            server_url: identity.server_url,
            token,
            folder: folder.to_owned(),
            ca_pem: read_text(&file(CA))?,
            client_pem,
        })
    }

    /// TLS 1.3 to servers under the device's CA.
    pub(super) fn tls(&self) -> Result<TlsConfig, IdentityError> {
        self.tls_under(Vec::new())
    }

    /// For media, which may come from anybody's CDN: the system's CAs count too.
    pub fn download_tls(&self) -> Result<TlsConfig, IdentityError> {
        let system = read_text(Path::new(SYSTEM_CAS))?.unwrap_or_default();
        // A system without any leaves the device's own.
        self.tls_under(certificates(&system).unwrap_or_default())
    }

    fn tls_under(&self, others: Vec<Certificate<'static>>) -> Result<TlsConfig, IdentityError> {
        let damaged = |name: &str, detail: String| IdentityError::Damaged {
            path: self.folder.join(name),
            detail,
        };
        let missing = || IdentityError::Missing(self.folder.join(CA));
        let mut ca = certificates(self.ca_pem.as_ref().ok_or_else(missing)?)
            .map_err(|detail| damaged(CA, detail))?;
        ca.extend(others);
        let mut builder = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(ca)))
            .unversioned_rustls_crypto_provider(tls13_only());
        if let Some((certificate, key)) = &self.client_pem {
            let chain = certificates(certificate).map_err(|e| damaged(CERTIFICATE, e))?;
            let key = PrivateKey::from_pem(key.as_bytes())
                .map_err(|error| damaged(KEY, error.to_string()))?;
            builder = builder.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        Ok(builder.build())
    }
}

/// ureq offers each version for which there is a suite: without those of 1.2 only 1.3 is left.
fn tls13_only() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_3);
    Arc::new(provider)
}

/// At least one.
fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, String> {
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item.map_err(|error| error.to_string())? {
            PemItem::Certificate(certificate) => found.push(certificate),
            _ => return Err("it holds something else than certificates".to_owned()),
        }
    }
    if found.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(found)
}

/// `None` for a file that is missing or empty.
fn read_text(path: &Path) -> Result<Option<String>, IdentityError> {
    let error = |source| IdentityError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(error(source)),
    };
    let mut text = String::new();
    file.take(MAX_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(error)?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_lacks_something_says_what() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let check = |expected: &str| {
            let read = Identity::read(folder.path()).map(drop);
            let error = read.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("identity.json is missing");
        write("identity.json", "{}");
        check("identity.json is damaged");
        write(
            "identity.json",
            r#"{"serverUrl": "https://fleet.example", "deviceId": "dev_1"}"#,
        );
        check("token is missing");
        write("token", "two words");
        check("token is damaged");
        write("token", "secret\n");
        write(CERTIFICATE, "something");
        check("device.key.pem is missing");
        std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
        let identity = Identity::read(folder.path()).unwrap();
        assert_eq!(identity.token.bearer(), "Bearer secret");
        assert!(!format!("{identity:?} {:?}", identity.token).contains("secret"));
        assert!(identity.tls().unwrap_err().to_string().contains(CA));
        write(CA, "no certificate");
        let identity = Identity::read(folder.path()).unwrap();
        assert!(
            identity
                .tls()
                .unwrap_err()
                .to_string()
                .contains("no certificate")
        );
    }
}
