//! The control plane as it is shipped: a program of its own, looked at from outside.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::Outcome;

pub(crate) struct Server {
    child: Child,
    /// Kept open: whoever prints to a pipe that nobody holds is ended by it.
    _says: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Server {
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark starts what it measures"
    )]
    pub(crate) fn start(program: &str, data: &Path, database: Option<&str>) -> Outcome<Self> {
        let mut command = Command::new(program);
        command.args([
            "serve",
            "--log",
            "warn",
            "--listen",
            "127.0.0.1:0",
            "--data",
        ]);
        command.arg(data).stdout(Stdio::piped());
        match database {
            Some(url) => command.env("FLEET_DATABASE_URL", url),
            None => command.env_remove("FLEET_DATABASE_URL"),
        };
        let mut child = command.spawn()?;
        let mut says = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        while !line.starts_with("Console: ") {
            line.clear();
            if says.read_line(&mut line)? == 0 {
                return Err("the control plane did not start".into());
            }
        }
        Ok(Self {
            child,
            _says: says,
            address: std::fs::read_to_string(data.join("address"))?.parse()?,
            token: std::fs::read_to_string(data.join("admin-token"))?,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn memory_kb(&self) -> Outcome<u64> {
        memory_kb(self.pid())
    }

    /// Of all its threads since it began, in hundredths of a second.
    pub(crate) fn processor_ticks(&self) -> Outcome<u64> {
        ticks(self.pid())
    }
}

/// What is resident of a process.
pub(crate) fn memory_kb(pid: u32) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().next());
    Ok(figure.ok_or("no VmRSS")?.parse()?)
}

/// Of a process, in hundredths of a second.
pub(crate) fn ticks(pid: u32) -> Outcome<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|f| f.parse::<u64>().ok());
    Ok(field(11)
        .zip(field(12))
        .map(|(u, s)| u + s)
        .ok_or("no ticks")?)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
