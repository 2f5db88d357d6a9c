//! `fleet-control` as a process of its own: what can be terminated, and killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::KeyPair;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

use super::{World, agent};

#[expect(clippy::disallowed_methods, reason = "a test starts programs")]
fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fleet-control"))
}

/// Runs a command to its end, in the folder that holds the data folder.
pub(crate) fn run(arguments: &[&str], data: &Path) -> Output {
    let mut command = program();
    command.args(arguments).arg("--data").arg(data);
    command.current_dir(data.parent().unwrap());
    command.output().unwrap()
}

/// What a subcommand says about itself.
pub(crate) fn help(subcommand: &str) -> String {
    let output = program().args([subcommand, "--help"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A device that may come in.
pub(crate) struct Enrolled {
    pub(crate) id: String,
    pub(crate) token: String,
    /// Certificate and key.
    pub(crate) identity: (String, String),
}

/// A server that answers.
pub(crate) struct Program {
    child: Child,
    /// Kept open: whoever prints to a pipe that nobody holds is ended by it.
    _says: BufReader<ChildStdout>,
    address: String,
    token: String,
    agent: Agent,
}

impl Program {
    pub(crate) fn serve(data: &Path) -> Self {
        Self::serve_with(data, &["--log", "error"], Stdio::inherit())
    }

    /// With more arguments, and its log to this place.
    pub(crate) fn serve_with(data: &Path, more: &[&str], log: Stdio) -> Self {
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(more);
        command.arg("--data").arg(data);
        command.stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut says = BufReader::new(child.stdout.take().unwrap());
        // The last thing that it says when it has begun to answer.
        let mut line = String::new();
        while !line.starts_with("Console: ") {
            line.clear();
            assert_ne!(says.read_line(&mut line).unwrap(), 0, "it did not start");
        }
        let text = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
        Self {
            child,
            _says: says,
            address: text("address"),
            token: text("admin-token"),
            agent: agent(&text("ca.pem"), None),
        }
    }

    /// Status and body, or `None` if there was no whole answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("authorization", format!("Bearer {}", self.token));
        let response = if method == "GET" {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body.to_vec()).unwrap())
        };
        let mut response = response.ok()?;
        let status = response.status().as_u16();
        let body = response.body_mut().read_to_vec().ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Lets a device in.
    pub(crate) fn enrol(&self, number: u32) -> Enrolled {
        let request = json!({"deviceName": format!("device-{number}")}).to_string();
        let created = self.ask("POST", "/v1/enrolment-tokens", request.as_bytes());
        let (_, created) = created.unwrap();
        let token = created["provision"]["enrolmentToken"].as_str().unwrap();
        let key = KeyPair::generate().unwrap();
        let request = World::enrol_request(token, &key).to_string();
        let (status, answer) = self.ask("POST", "/v1/enroll", request.as_bytes()).unwrap();
        assert_eq!(status, 201, "{answer}");
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Enrolled {
            id: text("deviceId"),
            token: text("deviceToken"),
            identity: (text("certificatePem"), key.serialize_pem()),
        }
    }

    /// Every item of a list.
    pub(crate) fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}?limit=200&cursor={cursor}");
            let (status, page) = self.ask("GET", &page, b"").unwrap();
            assert_eq!(status, 200, "{page}");
            items.extend(page["items"].as_array().unwrap().clone());
            match page["nextCursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return items,
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
