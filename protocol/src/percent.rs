//! A share between 0 and 100 per cent, exact to a hundredth.

use serde::{Deserialize, Serialize};

/// A percentage in hundredths: comparable, exact, never out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(with = "f64", extend("minimum" = 0, "maximum" = 100))
)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percent(u16);

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{0}` is no percentage: expected a number from 0 to 100")]
pub struct ParsePercentError(pub String);

impl Percent {
    pub const ZERO: Self = Self(0);
    pub const HUNDRED: Self = Self(10_000);

    /// `hundredths` of a per cent, 0 to 10,000; more counts as 10,000.
    pub const fn from_hundredths(hundredths: u16) -> Self {
        if hundredths > 10_000 {
            Self::HUNDRED
        } else {
            Self(hundredths)
        }
    }

    pub const fn hundredths(self) -> u16 {
        self.0
    }

    /// This share of `total`, rounded up, so that a share above zero of something is never nothing.
    #[expect(clippy::cast_possible_truncation, reason = "at most `total`")]
    pub const fn of_rounded_up(self, total: u64) -> u64 {
        (total as u128 * self.0 as u128).div_ceil(10_000) as u64
    }

    /// Whether `part` of `total` is more than this share. Nothing of nothing is not.
    pub const fn is_exceeded_by(self, part: u64, total: u64) -> bool {
        part as u128 * 10_000 > total as u128 * self.0 as u128
    }
}

impl TryFrom<f64> for Percent {
    type Error = ParsePercentError;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: 0 to 10,000"
    )]
    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if (0.0..=100.0).contains(&value) {
            Ok(Self((value * 100.0).round() as u16))
        } else {
            Err(ParsePercentError(value.to_string()))
        }
    }
}

impl From<Percent> for f64 {
    fn from(percent: Percent) -> Self {
        Self::from(percent.0) / 100.0
    }
}

impl std::str::FromStr for Percent {
    type Err = ParsePercentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim_end_matches('%')
            .trim()
            .parse::<f64>()
            .map_err(|_| ParsePercentError(text.to_owned()))?
            .try_into()
            .map_err(|_| ParsePercentError(text.to_owned()))
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} %", f64::from(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_few_devices_is_at_least_one() {
        assert_eq!("5".parse::<Percent>().unwrap().of_rounded_up(3), 1);
        assert_eq!(Percent::HUNDRED.of_rounded_up(3), 3);
        assert_eq!(Percent::ZERO.of_rounded_up(3), 0);
    }

    #[test]
    fn the_threshold_itself_is_not_beyond_it() {
        let five = "5 %".parse::<Percent>().unwrap();
        assert!(!five.is_exceeded_by(5, 100));
        assert!(five.is_exceeded_by(6, 100));
        assert!(!five.is_exceeded_by(0, 0));
    }

    #[test]
    fn out_of_range_and_nonsense_are_refused() {
        for bad in ["101", "-1", "NaN", "many"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
    }
}
