//! Who has given the PIN: sessions and their form tokens. Pure but for the random bytes handed in.
//!
//! A session's id is the cookie, its form token is in every form: a page of another site can make a
//! browser send a request, but knows no token. Few sessions at a time; the oldest makes room.

use crate::core::Monotonic;

/// A session without requests ends after this long.
pub const IDLE_S: u64 = 30 * 60;
const MAX_SESSIONS: usize = 8;

/// 256 random bits as text.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex::encode(bytes)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In constant time: a token must not be found digit by digit.
    pub fn matches(&self, text: &str) -> bool {
        self.0.len() == text.len()
            && self
                .0
                .bytes()
                .zip(text.bytes())
                .fold(0, |sum, (a, b)| sum | (a ^ b))
                == 0
    }
}

#[derive(Debug)]
struct Session {
    id: Token,
    form_token: Token,
    last_seen: Monotonic,
}

#[derive(Debug, Default)]
pub struct Sessions(Vec<Session>);

impl Sessions {
    /// A new session, known from now on by `id`.
    pub fn open(&mut self, id: Token, form_token: Token, now: Monotonic) {
        self.expire(now);
        if self.0.len() >= MAX_SESSIONS {
            let oldest = (0..self.0.len()).min_by_key(|i| self.0[*i].last_seen);
            if let Some(oldest) = oldest {
                self.0.swap_remove(oldest);
            }
        }
        self.0.push(Session {
            id,
            form_token,
            last_seen: now,
        });
    }

    /// The form token of a live session, which stays alive by being asked for.
    pub fn form_token(&mut self, id: &str, now: Monotonic) -> Option<Token> {
        self.expire(now);
        let session = self.0.iter_mut().find(|s| s.id.matches(id))?;
        session.last_seen = now;
        Some(session.form_token.clone())
    }

    pub fn any(&mut self, now: Monotonic) -> bool {
        self.expire(now);
        !self.0.is_empty()
    }

    pub fn close(&mut self, id: &str) {
        self.0.retain(|s| !s.id.matches(id));
    }

    fn expire(&mut self, now: Monotonic) {
        self.0.retain(|s| now.since(s.last_seen) < IDLE_S * 1_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(n: u8) -> Token {
        Token(hex::encode([n; 32]))
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_lives_while_it_is_used() {
        let mut sessions = Sessions::default();
        let start = Monotonic::from_secs(1);
        sessions.open(token(1), token(2), start);
        let later = start.plus_ms((IDLE_S - 1) * 1_000);
        assert_eq!(
            sessions.form_token(token(1).as_str(), later),
            Some(token(2))
        );
        let much_later = later.plus_ms(IDLE_S * 1_000);
        assert_eq!(sessions.form_token(token(1).as_str(), much_later), None);
    }

    #[test]
    fn a_closed_session_is_gone() {
        let mut sessions = Sessions::default();
        sessions.open(token(1), token(2), Monotonic(0));
        sessions.close(token(1).as_str());
        assert_eq!(sessions.form_token(token(1).as_str(), Monotonic(0)), None);
    }

    proptest! {
        #[test]
        fn there_are_never_more_sessions_than_allowed_and_the_newest_is_one_of_them(
            opens in proptest::collection::vec((any::<u8>(), 0u64..100_000), 1..40),
        ) {
            let mut sessions = Sessions::default();
            let mut now = Monotonic(0);
            for (n, wait_ms) in opens {
                now = now.plus_ms(wait_ms);
                sessions.open(token(n), token(n.wrapping_add(1)), now);
                prop_assert!(sessions.0.len() <= MAX_SESSIONS);
                prop_assert!(sessions.form_token(token(n).as_str(), now).is_some());
            }
        }
    }
}
