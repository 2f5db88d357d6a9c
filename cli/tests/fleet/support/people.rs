//! People at a control plane, each with a context of their own.

use std::path::PathBuf;

use serde_json::Value;

use super::Ran;
use super::plane::Plane;

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Person<'a> {
    pub(crate) plane: &'a Plane,
    name: &'a str,
}

impl<'a> Person<'a> {
    /// Whom nobody knows.
    pub(crate) fn new(plane: &'a Plane, name: &'a str) -> Self {
        std::fs::create_dir_all(plane.bench.path(name)).unwrap();
        Self { plane, name }
    }

    /// Invited with these rights, and the password is chosen.
    #[track_caller]
    pub(crate) fn invited(plane: &'a Plane, name: &'a str, rights: &[&str]) -> Self {
        let person = Self::new(plane, name);
        let email = person.email();
        let invite = [&["user", "invite", &email, "--json"], rights].concat();
        let created = plane.fleet(&invite).ok().json();
        person
            .choose_password(created["invitation"]["link"].as_str().unwrap(), PASSWORD)
            .ok();
        person
    }

    /// Invited with these rights, and logged in.
    #[track_caller]
    pub(crate) fn logged_in(plane: &'a Plane, name: &'a str, rights: &[&str]) -> Self {
        let person = Self::invited(plane, name, rights);
        person.log_in(PASSWORD, &[]).ok();
        person
    }

    pub(crate) fn email(&self) -> String {
        format!("{}@example.org", self.name)
    }

    fn server(&self) -> String {
        format!("https://{}", self.plane.address())
    }

    pub(crate) fn choose_password(&self, link: &str, password: &str) -> Ran {
        self.follow_link(link, password, &[])
    }

    pub(crate) fn follow_link(&self, link: &str, password: &str, more: &[&str]) -> Ran {
        let there = ["--server", &self.server(), "--ca", "fleet-data/ca.pem"];
        let args = ["password", "--link", link, "--password-stdin"];
        self.types(
            &[&args[..], &there, more].concat(),
            &format!("{password}\n"),
        )
    }

    pub(crate) fn log_in(&self, password: &str, more: &[&str]) -> Ran {
        let (server, email) = (self.server(), self.email());
        let args = ["login", "--server", &server, "--ca", "fleet-data/ca.pem"];
        let who = ["--email", &email, "--password-stdin"];
        self.types(&[&args[..], &who, more].concat(), &format!("{password}\n"))
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.plane.bench.path(self.name).join("context.toml")
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.context().with_extension("credentials.json")
    }

    pub(crate) fn change_credentials(&self, field: &str, value: &str) {
        let text = std::fs::read_to_string(self.credentials()).unwrap();
        let mut all: Value = serde_json::from_str(&text).unwrap();
        all[field] = value.into();
        std::fs::write(self.credentials(), all.to_string()).unwrap();
    }

    pub(crate) fn fleet(&self, args: &[&str]) -> Ran {
        self.types(args, "")
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        self.fleet(&[args, &["--json"]].concat()).ok().json()
    }

    /// Runs `fleet` with this on standard input.
    pub(crate) fn types(&self, args: &[&str], text: &str) -> Ran {
        let mut running = self.plane.bench.start(args, &self.context());
        running.write(text);
        running.end()
    }
}
