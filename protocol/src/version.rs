//! Release versions, ordered as Semantic Versioning 2.0.0 orders them.

use serde::{Deserialize, Serialize};

/// A release's version, such as `2.4.0` or `2.5.0-beta.1`.
///
/// Build metadata (`+…`) is refused: it has no place in the order, so two different releases
/// would count as equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(
        with = "String",
        extend("maxLength" = 80, "pattern" = r"^(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?$")
    )
)]
#[serde(try_from = "String", into = "String")]
pub struct Version(semver::Version);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no version: {reason}; write it like 2.4.0")]
pub struct ParseVersionError {
    pub text: String,
    pub reason: String,
}

impl Version {
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self(semver::Version::new(major, minor, patch))
    }
}

impl std::str::FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason: String| ParseVersionError {
            text: text.chars().take(80).collect(),
            reason,
        };
        if text.len() > 80 {
            return Err(error("longer than 80 characters".to_owned()));
        }
        let version = semver::Version::parse(text).map_err(|e| error(e.to_string()))?;
        if version.build.is_empty() {
            Ok(Self(version))
        } else {
            Err(error("build metadata has no order".to_owned()))
        }
    }
}

impl TryFrom<String> for Version {
    type Error = ParseVersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beta_comes_before_its_release() {
        let beta: Version = "2.5.0-beta.1".parse().unwrap();
        assert!(beta < Version::new(2, 5, 0));
        assert!(beta > Version::new(2, 4, 9));
    }

    #[test]
    fn build_metadata_is_refused() {
        assert!("1.0.0+4".parse::<Version>().is_err());
    }
}
