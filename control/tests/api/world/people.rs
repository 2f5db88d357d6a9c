//! People who log in to the control plane under test.

use serde_json::{Value, json};

use super::{Answer, World};

pub(crate) const PASSWORD: &str = "correct horse battery";

impl World {
    /// Somebody who has accepted the invitation; `given` are their roles as in the request.
    pub(crate) fn person(&self, name: &str, given: &Value) -> Value {
        let mut request = json!({"email": format!("{name}@example.com"), "displayName": name});
        let (all, more) = (request.as_object_mut().unwrap(), given.as_object().unwrap());
        all.extend(more.clone());
        let created = self.post("/v1/tenants/ten_default/users", &request).ok();
        self.accept(&created["invitation"]).ok();
        created["user"].clone()
    }

    /// Follows a link and chooses [`PASSWORD`].
    pub(crate) fn accept(&self, invitation: &Value) -> Answer {
        let link = invitation["link"].as_str().unwrap();
        let (_, token) = link.split_once("/join?token=").unwrap();
        let body = json!({"token": token, "password": PASSWORD}).to_string();
        self.anyone("POST", "/v1/auth/accept", &[], body.as_bytes())
    }

    pub(crate) fn log_in(&self, request: &Value) -> Answer {
        let body = request.to_string();
        self.anyone("POST", "/v1/auth/login", &[], body.as_bytes())
    }

    /// The tokens of a new session.
    pub(crate) fn session(&self, name: &str) -> Value {
        let email = format!("{name}@example.com");
        self.log_in(&json!({"email": email, "password": PASSWORD}))
            .ok()
    }

    pub(crate) fn refresh(&self, tokens: &Value) -> Answer {
        let body = json!({"refreshToken": tokens["refreshToken"]}).to_string();
        self.anyone("POST", "/v1/auth/refresh", &[], body.as_bytes())
    }

    /// Asks with the access token of `tokens`, or the secret of a key.
    pub(crate) fn asks(&self, tokens: &Value, method: &str, path: &str, body: &Value) -> Answer {
        let secret = tokens.get("accessToken").or_else(|| tokens.get("secret"));
        let bearer = format!("Bearer {}", secret.unwrap().as_str().unwrap());
        let headers = [("authorization", bearer.as_str()), ("if-match", "\"1\"")];
        self.anyone(method, path, &headers, body.to_string().as_bytes())
    }

    pub(crate) fn sees(&self, tokens: &Value, path: &str) -> Answer {
        self.asks(tokens, "GET", path, &Value::Null)
    }
}
