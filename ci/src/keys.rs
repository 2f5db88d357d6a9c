//! Throw-away keys for bundles: a CA and a leaf under it, for demos and tests. The operator's own come from `fleet keys init`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// A CA certificate, and a leaf with its key that signs bundles.
#[derive(Debug, Clone)]
pub struct BundleKeys {
    /// The keyring of devices.
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl BundleKeys {
    /// Names the files of a folder.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            ca: dir.join("bundle-ca.cert.pem"),
            certificate: dir.join("bundle.cert.pem"),
            key: dir.join("bundle.key.pem"),
        }
    }

    /// The workspace's own throw-away keys, made if they aren't there.
    ///
    /// # Errors
    /// When openssl fails or the folder can't be written.
    pub fn throw_away(workspace: &Workspace, tools: &ToolTree) -> Result<Self> {
        Self::ensure(&workspace.fleet_dir().join("keys"), workspace, tools)
    }

    /// Keys in `dir`, made if they aren't there. Different folders hold different CAs.
    ///
    /// # Errors
    /// When openssl fails or the folder can't be written.
    pub fn ensure(dir: &Path, workspace: &Workspace, tools: &ToolTree) -> Result<Self> {
        let keys = Self::in_dir(dir);
        if keys.key.is_file() && keys.certificate.is_file() && keys.ca.is_file() {
            return Ok(keys);
        }
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let ca_key = dir.join("bundle-ca.key.pem");
        let log = workspace.log_file("bundle-keys");
        let request = |subject: &str, key: &Path, certificate: &Path| {
            let mut command = tools.command("openssl");
            command
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-nodes",
                ])
                // Valid before any clock floor, so that a board without a clock can check it.
                .args([
                    "-not_before",
                    "20250101000000Z",
                    "-not_after",
                    "20451231235959Z",
                ])
                .args(["-subj", subject, "-keyout"])
                .arg(key)
                .arg("-out")
                .arg(certificate);
            command
        };
        let mut command = request("/O=Fleet/CN=Throw-away bundle CA", &ca_key, &keys.ca);
        command
            .args(["-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"])
            .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        process::run_logged(&mut command, &log)?;
        let mut command = request(
            "/O=Fleet/CN=Throw-away bundle signer",
            &keys.key,
            &keys.certificate,
        );
        command
            .arg("-CA")
            .arg(&keys.ca)
            .arg("-CAkey")
            .arg(&ca_key)
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", "keyUsage=critical,digitalSignature"])
            .args(["-addext", "extendedKeyUsage=emailProtection,codeSigning"]);
        process::run_logged(&mut command, &log)?;
        Ok(keys)
    }
}
