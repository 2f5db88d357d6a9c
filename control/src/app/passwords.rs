//! Passwords: hashed with Argon2id (RFC 9106) at OWASP's parameters, a few at a time.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

use super::error::{Error, Refusal};

const SHORTEST: usize = 12;
/// Bytes; longer ones cost work and are no safer.
const LONGEST: usize = 1_024;
/// Each takes 19 MiB and some tens of milliseconds of a processor.
const AT_ONCE: usize = 2;
/// Of a password that nobody has: whoever guesses at an unknown address waits as long as at a known one.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cyBzYWx0ISE$\
                       MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";

/// Hashes and checks passwords.
#[derive(Debug)]
pub(super) struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Passwords {
    /// In PHC form.
    ///
    /// # Errors
    /// When it is too short, too long, or nothing but one character.
    pub(super) async fn hash(&self, field: &str, password: &str) -> Result<String, Error> {
        check(field, password)?;
        let password = password.to_owned();
        self.work(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.expect("the system's random source makes a salt")
                .to_string()
        })
        .await
    }

    /// Whether it is the one that `hash` is of; takes its time if there is none.
    pub(super) async fn is(&self, password: &str, hash: Option<String>) -> Result<bool, Error> {
        if password.len() > LONGEST {
            return Ok(false);
        }
        let password = password.to_owned();
        self.work(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODYS.to_owned());
            let right = PasswordHash::new(&hash).is_ok_and(|hash| {
                let checked = Argon2::default().verify_password(password.as_bytes(), &hash);
                checked.is_ok()
            });
            known && right
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let turn = turn.expect("never closed");
        // Kept until it is done, whether or not anybody still waits for it.
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await;
        Ok(done.expect("hashing does not panic"))
    }
}

fn check(field: &str, password: &str) -> Result<(), Error> {
    let length = password.chars().count();
    let first = password.chars().next();
    let problem = if length < SHORTEST {
        format!("has {length} characters; {SHORTEST} are the least")
    } else if password.len() > LONGEST {
        format!("is longer than {LONGEST} bytes")
    } else if password.chars().all(|c| Some(c) == first) {
        "is one character again and again".to_owned()
    } else {
        return Ok(());
    };
    let hint = "take several words that nobody would guess, or let a password manager make one";
    Err(Refusal::field(field, problem, hint).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_by_nothing_else() {
        let passwords = Passwords::default();
        let hash = passwords
            .hash("password", "correct horse battery")
            .await
            .unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let again = passwords
            .hash("password", "correct horse battery")
            .await
            .unwrap();
        assert_ne!(hash, again, "each has a salt of its own");
        let is = async |password: &str, hash: Option<&String>| {
            passwords.is(password, hash.cloned()).await.unwrap()
        };
        assert!(is("correct horse battery", Some(&hash)).await);
        assert!(!is("correct horse batterx", Some(&hash)).await);
        assert!(!is("correct horse battery", None).await);
    }

    #[tokio::test]
    async fn weak_passwords_are_refused_by_name() {
        for (bad, why) in [
            ("short", "characters"),
            (&*"a".repeat(20), "again and again"),
            (&*"ab".repeat(600), "longer"),
        ] {
            let refused = Passwords::default().hash("newPassword", bad).await;
            let Err(Error::Refused(refusal)) = refused else {
                panic!("{bad} was accepted")
            };
            assert_eq!(refusal.fields[0].field, "newPassword");
            assert!(refusal.detail.contains(why), "{}", refusal.detail);
        }
    }

    #[test]
    fn the_hash_that_nobody_has_is_one() {
        PasswordHash::new(NOBODYS).unwrap();
    }
}
