//! A public key as a person pastes it into the page: one line of an `authorized_keys` file.
//!
//! Only type and key material are taken over. Options (`command=`, `environment=`) are refused, and
//! the comment is dropped: nothing a person typed reaches sshd unchecked (sshd(8), the format of
//! `authorized_keys`; RFC 4253 §6.6 for the blob).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

/// A key whose blob says the type that its line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    kind: &'static str,
    blob: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshKeyError {
    #[error("that is a private key; paste the public one, from the file that ends in .pub")]
    Private,
    #[error("paste one key, on one line")]
    Lines,
    #[error("the key is longer than any public key")]
    TooLong,
    #[error("the line does not begin with a key type such as ssh-ed25519")]
    Type,
    #[error("the part after the key type is no key of that type; copy the whole line again")]
    Blob,
    #[error("this RSA key is shorter than 2048 bits; use ssh-ed25519")]
    Weak,
}

impl std::str::FromStr for SshKey {
    type Err = SshKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let line = text.trim();
        if line.contains("PRIVATE KEY") {
            return Err(SshKeyError::Private);
        }
        if line.lines().count() > 1 {
            return Err(SshKeyError::Lines);
        }
        if line.len() > 8_192 {
            return Err(SshKeyError::TooLong);
        }
        let mut words = line.split_ascii_whitespace();
        let word = words.next().unwrap_or_default();
        let kind = *TYPES
            .iter()
            .find(|kind| **kind == word)
            .ok_or(SshKeyError::Type)?;
        let blob = BASE64
            .decode(words.next().unwrap_or_default())
            .map_err(|_| SshKeyError::Blob)?;
        let (name, rest) = string(&blob).ok_or(SshKeyError::Blob)?;
        let (_, last) = string(rest).ok_or(SshKeyError::Blob)?;
        if name != kind.as_bytes() {
            return Err(SshKeyError::Blob);
        }
        if kind == "ssh-rsa" {
            let (modulus, _) = string(last).ok_or(SshKeyError::Blob)?;
            if modulus.len() < 256 {
                return Err(SshKeyError::Weak);
            }
        }
        Ok(Self { kind, blob })
    }
}

impl SshKey {
    /// The line for `authorized_keys`: a terminal, no forwarding of anything.
    pub fn authorized_line(&self) -> String {
        format!("restrict,pty {} {}\n", self.kind, BASE64.encode(&self.blob))
    }

    /// As `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(&self.blob);
        format!(
            "SHA256:{}",
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(digest)
        )
    }
}

/// An SSH `string`: four bytes of length, then that many bytes.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(kind: &str, parts: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for part in [kind.as_bytes()].iter().chain(parts) {
            blob.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend_from_slice(part);
        }
        format!("{kind} {}", BASE64.encode(blob))
    }

    #[test]
    fn a_key_is_taken_without_its_comment() {
        let line = key("ssh-ed25519", &[&[7; 32]]);
        let parsed: SshKey = format!(" {line} ann@laptop\n").parse().unwrap();
        assert_eq!(parsed.authorized_line(), format!("restrict,pty {line}\n"));
        assert!(parsed.fingerprint().starts_with("SHA256:"));
    }

    #[test]
    fn each_kind_of_nonsense_has_its_own_answer() {
        let check = |text: &str, expected: SshKeyError| {
            assert_eq!(text.parse::<SshKey>(), Err(expected), "{text}");
        };
        let good = key("ssh-ed25519", &[&[7; 32]]);
        check("", SshKeyError::Type);
        check("-----BEGIN OPENSSH PRIVATE KEY-----", SshKeyError::Private);
        check(&format!("{good}\n{good}"), SshKeyError::Lines);
        check(&format!("command=\"sh\" {good}"), SshKeyError::Type);
        check("ssh-ed25519 AAAA", SshKeyError::Blob);
        check(
            &good.replacen("ssh-ed25519", "ssh-rsa", 1),
            SshKeyError::Blob,
        );
        check(&key("ssh-rsa", &[&[1, 0, 1], &[3; 128]]), SshKeyError::Weak);
        check(&"a".repeat(9_000), SshKeyError::TooLong);
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_becomes_exactly_one_line(text in "(ssh-ed25519 )?\\PC{0,200}") {
            if let Ok(key) = text.parse::<SshKey>() {
                prop_assert_eq!(key.authorized_line().lines().count(), 1);
            }
        }
    }
}
