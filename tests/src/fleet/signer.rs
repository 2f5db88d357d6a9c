//! Signs release metadata with the keys that the real `fleet keys init` made, so that stories can say things in
//! metadata that the operator's command would refuse to say: an expired release, a foreign key.

use std::fs;
use std::path::Path;

use fleet_protocol::trust::{Envelope, ReleaseMetadata, SigningKey};

use super::error::{FleetError, Result};

/// The release keys of one folder.
#[derive(Debug)]
pub struct Signer {
    keys: Vec<SigningKey>,
}

impl Signer {
    /// Reads every `release-*.key.pem` of a key folder.
    pub fn open(dir: &Path) -> Result<Self> {
        let what = || format!("reading the keys in {}", dir.display());
        let mut names: Vec<_> = fs::read_dir(dir)
            .map_err(FleetError::io(what()))?
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("release-") && name.ends_with(".key.pem")
            })
            .collect();
        names.sort();
        let mut keys = Vec::new();
        for path in names {
            let text = fs::read_to_string(&path).map_err(FleetError::io(what()))?;
            keys.push(secret_of(&text).ok_or_else(|| FleetError::Unexpected {
                what: path.display().to_string(),
                reason: "it is no PKCS#8 Ed25519 key".to_owned(),
            })?);
        }
        if keys.is_empty() {
            return Err(FleetError::Unexpected {
                what: dir.display().to_string(),
                reason: "it holds no release keys".to_owned(),
            });
        }
        Ok(Self { keys })
    }

    /// A folder's worth of keys that nobody trusts.
    pub fn stranger() -> Self {
        let keys = (1..=2).map(|n| SigningKey::from_secret(&[n; 32]));
        Self {
            keys: keys.collect(),
        }
    }

    /// An envelope signed by all of the keys.
    pub fn sign(&self, metadata: &ReleaseMetadata) -> Envelope {
        let mut envelope = metadata.to_envelope();
        for key in &self.keys {
            envelope.sign(key);
        }
        envelope
    }
}

/// The last 32 bytes of a PKCS#8 Ed25519 key are its secret (RFC 8410, section 7).
fn secret_of(pem_text: &str) -> Option<SigningKey> {
    let block = pem::parse(pem_text).ok()?;
    let contents = block.contents();
    let secret: [u8; 32] = contents.get(16..48)?.try_into().ok()?;
    (contents.len() == 48).then(|| SigningKey::from_secret(&secret))
}
