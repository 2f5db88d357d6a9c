//! What lets a request in: nothing yet, a token that stays, or a login whose tokens are renewed on the way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fleet_protocol::access::{Refresh, Tokens};
use fleet_protocol::problem::Problem;

use super::{Answer, Client, Payload, refusal};
use crate::clock;
use crate::credentials::{CredentialFile, LoggedIn, is_expiring};
use crate::error::Result;

/// Not `Debug`: it holds the token.
pub(crate) enum Access {
    /// For logging in.
    Nobody,
    /// An API key, or the token of the control plane's own machine.
    Token(String),
    Login(Box<Login>),
}

/// A login, and the file that it is kept in.
pub(crate) struct Login {
    file: CredentialFile,
    held: Mutex<LoggedIn>,
}

impl Login {
    /// The lock is held while new tokens come: who waits for it wants the same ones.
    fn held(&self) -> MutexGuard<'_, LoggedIn> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renew(&self, held: &mut LoggedIn, client: &Client) -> Result<String> {
        let locked = self.file.lock()?;
        *held = locked.renew(held, clock::now(), |tokens| client.refresh(tokens))?;
        Ok(held.tokens.access_token.clone())
    }
}

impl Access {
    pub(crate) fn login(file: CredentialFile, logged_in: LoggedIn) -> Self {
        Self::Login(Box::new(Login {
            file,
            held: Mutex::new(logged_in),
        }))
    }

    pub(super) fn token(&self, client: &Client) -> Result<Option<String>> {
        match self {
            Self::Nobody => Ok(None),
            Self::Token(token) => Ok(Some(token.clone())),
            Self::Login(login) => {
                let mut held = login.held();
                if is_expiring(&held.tokens, clock::now()) {
                    return login.renew(&mut held, client).map(Some);
                }
                Ok(Some(held.tokens.access_token.clone()))
            }
        }
    }

    /// After `refused` was not taken; `None`: there is no other.
    pub(super) fn other_than(&self, refused: &str, client: &Client) -> Result<Option<String>> {
        let Self::Login(login) = self else {
            return Ok(None);
        };
        let mut held = login.held();
        if held.tokens.access_token != refused {
            return Ok(Some(held.tokens.access_token.clone()));
        }
        login.renew(&mut held, client).map(Some)
    }
}

impl Client {
    /// Changes a refresh token into new tokens, once.
    fn refresh(&self, tokens: &Tokens) -> Result<Tokens> {
        const PATH: &str = "/v1/auth/refresh";
        let request = Refresh {
            refresh_token: tokens.refresh_token.clone(),
        };
        let bytes = serde_json::to_vec(&request).expect("requests are plain data");
        let headers = [("content-type", "application/json".to_owned())];
        let payload = Payload::Bytes(&bytes);
        match self.once(&ureq::http::Method::POST, PATH, &headers, payload, None)? {
            Answer::Good(response) => self.json(PATH, response),
            Answer::No(status, problem) => Err(refusal(status, problem.as_ref())),
        }
    }
}

/// Rather than about a password or a code in the body, which another access token does not change.
pub(super) fn is_about_the_token(problem: Option<&Problem>) -> bool {
    problem.is_none_or(|p| p.code == "UNAUTHENTICATED")
}
