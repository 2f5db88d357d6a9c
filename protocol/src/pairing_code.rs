//! What a screen shows so that somebody who stands before it can claim it: `K7QF-2MXA`.

use serde::{Deserialize, Serialize};

/// Without 0, 1, I, L, O and U, which are taken for others.
const LETTERS: &[u8; 30] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 8;
const HALF: usize = LENGTH / 2;

/// Eight letters and digits; read however it is typed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(with = "String", extend("pattern" = "^[ -]*([2-9A-HJKMNP-TV-Za-hjkmnp-tv-z][ -]*){8}$"))
)]
#[serde(try_from = "String", into = "String")]
pub struct PairingCode(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no pairing code: expected eight letters and digits as the screen shows them, such as K7QF-2MXA"
)]
pub struct ParsePairingCodeError {
    pub text: String,
}

impl PairingCode {
    /// Made of random bytes, of which those are left out that would make some letters more likely than others; `None`
    /// if they are not enough.
    pub fn of(random: &[u8]) -> Option<Self> {
        let evenly = 256 / LETTERS.len() * LETTERS.len();
        let bytes = random.iter().map(|byte| usize::from(*byte));
        let letters: String = bytes
            .filter(|byte| *byte < evenly)
            .map(|byte| char::from(LETTERS[byte % LETTERS.len()]))
            .take(LENGTH)
            .collect();
        (letters.len() == LENGTH).then_some(Self(letters))
    }

    /// Without the hyphen.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for PairingCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, second) = self.0.split_at(HALF);
        write!(f, "{first}-{second}")
    }
}

impl std::str::FromStr for PairingCode {
    type Err = ParsePairingCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = text.chars().filter(|c| !matches!(c, '-' | ' '));
        let letters: String = letters.map(|c| c.to_ascii_uppercase()).collect();
        let known = |byte: u8| LETTERS.contains(&byte);
        if letters.len() == LENGTH && letters.bytes().all(known) {
            return Ok(Self(letters));
        }
        Err(ParsePairingCodeError {
            text: text.chars().take(40).collect(),
        })
    }
}

impl TryFrom<String> for PairingCode {
    type Error = ParsePairingCodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PairingCode> for String {
    fn from(code: PairingCode) -> Self {
        code.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code: PairingCode = "K7QF-2MXA".parse().unwrap();
        for typed in ["k7qf2mxa", "K7QF 2MXA", " k7qf-2mxa "] {
            assert_eq!(typed.parse::<PairingCode>().unwrap(), code);
        }
        assert_eq!(code.to_string(), "K7QF-2MXA");
        for typed in ["", "K7QF-2MX", "K7QF-2MXA9", "K7QF-2MX0", "K7QF-2MXÄ"] {
            let error = typed.parse::<PairingCode>().unwrap_err();
            assert!(error.to_string().contains("K7QF-2MXA"));
        }
    }

    #[test]
    fn every_letter_is_as_likely_as_another() {
        let all: Vec<u8> = (0..=255).collect();
        let mut counts = std::collections::BTreeMap::new();
        for byte in &all {
            let filled = [vec![*byte], vec![0; LENGTH]].concat();
            // One that is left out leaves the others alone.
            let code = PairingCode::of(&filled).unwrap();
            if *byte < 240 {
                *counts.entry(code.as_str().as_bytes()[0]).or_insert(0) += 1;
            }
        }
        assert_eq!(counts.len(), LETTERS.len());
        assert!(counts.values().all(|count| *count == 8), "{counts:?}");
        assert_eq!(PairingCode::of(&[255; 20]), None);
    }
}
