//! Who the device is: its key, made here and never shown; the certificate and the token that the
//! control plane gave for it. All of it readable by the agent alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_device::files::{self, Access, FileError};
use fleet_protocol::enrolment::{EnrollResponse, PairingCode, ProvisionFile};
use fleet_protocol::{DeviceId, RoleName, Sha256, TenantId};
use serde::{Deserialize, Serialize};

use crate::client::{
    ClientIdentity, ControlPlane, DeviceToken, Endpoint, TimeFloor, TlsConfigError,
};
use crate::core::certificate::{NoCertificate, Validity};
use crate::platform::booted::read_state;
use crate::platform::paths::Paths;

pub(super) mod renewed;

const MAX_FILE_BYTES: u64 = 256 * 1024;
/// The certificate in use.
const CERTIFICATE: &str = "device.cert.pem";

/// `identity.json`: written last, so that it stands for the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    pub(crate) device_id: DeviceId,
    pub(super) tenant_id: TenantId,
    pub(crate) server_url: String,
    #[serde(default)]
    pub(crate) role: Option<RoleName>,
    /// Of the enrolment token that was used for it, so that a provisioning file with another one is new.
    #[serde(default)]
    pub(super) enrolled_with: Option<Sha256>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is missing or empty", .0.display())]
    Missing(PathBuf),
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    #[error("the device's key cannot be made or read: {0}")]
    Key(#[from] rcgen::Error),
    #[error("the device's certificate is damaged: {0}")]
    Certificate(#[from] NoCertificate),
}

fn file(paths: &Paths, name: &str) -> PathBuf {
    paths.identity().join(name)
}

/// The identity, if the device is enrolled.
pub(crate) fn load(paths: &Paths) -> Option<Identity> {
    read_state(&file(paths, "identity.json"))
}

/// The way to the control plane for an enrolled device.
pub(crate) fn connect(
    paths: &Paths,
    identity: &Identity,
    floor: &TimeFloor,
    request_timeout: Duration,
) -> Result<ControlPlane, IdentityError> {
    let certificate_pem = read_text(&file(paths, CERTIFICATE))?;
    connect_with(paths, identity, floor, request_timeout, certificate_pem)
}

/// The same with another certificate than the one in use.
pub(super) fn connect_with(
    paths: &Paths,
    identity: &Identity,
    floor: &TimeFloor,
    request_timeout: Duration,
    certificate_pem: String,
) -> Result<ControlPlane, IdentityError> {
    let endpoint = Endpoint {
        server_url: identity.server_url.clone(),
        ca_pem: read_text(&file(paths, "ca.pem"))?,
        floor: floor.clone(),
        request_timeout,
    };
    let client = ClientIdentity {
        certificate_pem,
        key_pem: read_text(&file(paths, "device.key.pem"))?,
    };
    let token = DeviceToken::new(read_text(&file(paths, "token"))?);
    Ok(ControlPlane::as_device(&endpoint, &client, token)?)
}

/// When the certificate in use begins and ends.
pub(super) fn validity(paths: &Paths) -> Result<Validity, IdentityError> {
    Ok(Validity::of_pem(&read_text(&file(paths, CERTIFICATE))?)?)
}

/// Which fleet that is: the CA that answers for the control plane, and the tenant. Its address may change.
pub(super) fn fleet(paths: &Paths, identity: &Identity) -> Result<Sha256, IdentityError> {
    let ca_pem = read_text(&file(paths, "ca.pem"))?;
    Ok(Sha256::of(format!("{}\n{ca_pem}", identity.tenant_id)))
}

fn read_text(path: &Path) -> Result<String, IdentityError> {
    let bytes = files::read_limited(path, MAX_FILE_BYTES)?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.map(|text| text.trim().to_owned());
    text.filter(|text| !text.is_empty())
        .ok_or_else(|| IdentityError::Missing(path.to_owned()))
}

/// A certificate request for the device's key, which is made if there is none. The same key serves
/// every try, so that a lost answer does not make two devices out of one.
pub(super) fn certificate_request(paths: &Paths) -> Result<String, IdentityError> {
    let path = file(paths, "device.key.pem");
    let kept = read_text(&path)
        .ok()
        .and_then(|pem| rcgen::KeyPair::from_pem(&pem).ok());
    let key = if let Some(key) = kept {
        key
    } else {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        files::write_atomic(&path, key.serialize_pem().as_bytes(), Access::Secret)?;
        key
    };
    request_for(&key)
}

/// The name in it is the control plane's to choose.
fn request_for(key: &rcgen::KeyPair) -> Result<String, IdentityError> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(key)?.pem()?)
}

/// Keeps what the control plane answered; `identity.json` comes last.
pub(super) fn keep(
    paths: &Paths,
    provision: &ProvisionFile,
    response: &EnrollResponse,
) -> Result<Identity, IdentityError> {
    let write = |name: &str, text: &str| {
        files::write_atomic(&file(paths, name), text.as_bytes(), Access::Secret)
    };
    write(CERTIFICATE, &response.certificate_pem)?;
    write("ca.pem", &provision.ca_certificate_pem)?;
    write("token", &response.device_token)?;
    let identity = Identity {
        device_id: response.device_id.clone(),
        tenant_id: response.tenant_id.clone(),
        server_url: provision.server_url.clone(),
        role: provision.role.clone(),
        enrolled_with: Some(Sha256::of(&provision.enrolment_token)),
    };
    files::write_json(&file(paths, "identity.json"), &identity, Access::Secret)?;
    Ok(identity)
}

/// A pairing under way, so that a restart shows the same code, and one that was claimed meanwhile is not lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pairing {
    pub(super) server_url: String,
    pub(super) code: PairingCode,
    /// The device's enrolment token, once the code was claimed.
    pub(super) token: String,
}

const PAIRING: &str = "pairing.json";

pub(super) fn pairing(paths: &Paths, server_url: &str) -> Option<Pairing> {
    let kept: Option<Pairing> = read_state(&file(paths, PAIRING));
    kept.filter(|pairing| pairing.server_url == server_url)
}

pub(super) fn keep_pairing(paths: &Paths, pairing: &Pairing) -> Result<(), IdentityError> {
    Ok(files::write_json(
        &file(paths, PAIRING),
        pairing,
        Access::Secret,
    )?)
}

pub(super) fn forget_pairing(paths: &Paths) {
    let path = file(paths, PAIRING);
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        log::warn!(error:%, "file.path":% = path.display(); "the pairing that is over stays on disk");
    }
}

/// What was found of a provisioning file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Provision {
    None,
    /// For a device that shows a code.
    Pairing(Box<ProvisionFile>),
    Ready {
        file: PathBuf,
        provision: Box<ProvisionFile>,
    },
    /// Its token was used and taken out.
    Used(Box<ProvisionFile>),
    Unusable {
        file: PathBuf,
        reason: String,
    },
}

/// The first provisioning file that there is.
pub(crate) fn provision(paths: &Paths) -> Provision {
    for file in paths.provision_files() {
        let bytes = match files::read_limited(&file, MAX_FILE_BYTES) {
            Ok(None) => continue,
            Ok(Some(bytes)) => bytes,
            Err(error) => {
                let reason = error.to_string();
                return Provision::Unusable { file, reason };
            }
        };
        return match serde_json::from_slice::<ProvisionFile>(&bytes) {
            Ok(provision) if provision.pairing => Provision::Pairing(Box::new(provision)),
            Ok(provision) if provision.enrolment_token.is_empty() => {
                Provision::Used(Box::new(provision))
            }
            Ok(provision) => Provision::Ready {
                file,
                provision: Box::new(provision),
            },
            Err(error) => Provision::Unusable {
                file,
                reason: error.to_string(),
            },
        };
    }
    Provision::None
}

/// Takes the used token out of the provisioning file; the rest stays for whoever looks at the card.
/// The old bytes are overwritten in place first, since FAT would leave them in free clusters.
pub(super) fn scrub(path: &Path, provision: &ProvisionFile) -> Result<(), FileError> {
    use std::io::Write as _;
    let overwritten = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| {
            let size = usize::try_from(file.metadata()?.len()).unwrap_or(0);
            file.write_all(&vec![b' '; size])?;
            file.sync_all()
        });
    overwritten.map_err(files::at("overwrite", path))?;
    let used = ProvisionFile {
        enrolment_token: String::new(),
        ..provision.clone()
    };
    files::write_json(path, &used, Access::Secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provision_file(token: &str) -> ProvisionFile {
        ProvisionFile {
            server_url: "https://h:8443".to_owned(),
            ca_certificate_pem: "pem".to_owned(),
            enrolment_token: token.to_owned(),
            server_time: jiff::Timestamp::UNIX_EPOCH,
            role: None,
            pairing: false,
            tenant_id: None,
        }
    }

    #[test]
    fn the_same_key_serves_every_try() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        certificate_request(&paths).unwrap();
        let key = std::fs::read(file(&paths, "device.key.pem")).unwrap();
        certificate_request(&paths).unwrap();
        assert_eq!(std::fs::read(file(&paths, "device.key.pem")).unwrap(), key);
    }

    #[test]
    fn a_damaged_key_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        files::write_atomic(&file(&paths, "device.key.pem"), b"half", Access::Secret).unwrap();
        assert!(
            certificate_request(&paths)
                .unwrap()
                .contains("CERTIFICATE REQUEST")
        );
    }

    #[test]
    fn a_used_token_is_gone_from_the_boot_partition() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let path = paths.provision_files()[0].clone();
        files::write_json(&path, &provision_file("s3cret"), Access::Public).unwrap();
        let Provision::Ready {
            file,
            provision: found,
        } = provision(&paths)
        else {
            panic!("not found")
        };
        scrub(&file, &found).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("s3cret"));
        assert!(matches!(provision(&paths), Provision::Used(_)));
    }

    #[test]
    fn a_broken_provisioning_file_is_told_from_none() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        assert_eq!(provision(&paths), Provision::None);
        files::write_atomic(&paths.provision_files()[1], b"{", Access::Public).unwrap();
        assert!(matches!(provision(&paths), Provision::Unusable { .. }));
    }
}
