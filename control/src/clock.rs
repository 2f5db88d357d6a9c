//! Where time and randomness enter: nothing else reads the system's clock or random source.

use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time; tests give their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this module owns the clock")]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    pub fn from_fn(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// 32 random bytes as 64 hex digits: a secret nobody guesses.
pub fn random_secret() -> String {
    hex::encode(random_bytes::<32>())
}

/// `prefix` and 20 random hex digits: a new identifier.
pub fn random_id<T: std::str::FromStr>(prefix: &str) -> T {
    let text = format!("{prefix}{}", hex::encode(random_bytes::<10>()));
    text.parse()
        .ok()
        .expect("a known prefix and 20 hex digits make an identifier")
}

/// For what is spread by chance.
pub fn random_number() -> u64 {
    u64::from_le_bytes(random_bytes())
}

/// So many that nobody guesses.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's random source does not fail once it is up");
    bytes
}
