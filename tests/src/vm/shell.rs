//! A root shell in the guest, over a second serial line. Only the image's test variant has one.
//!
//! Commands are framed by markers that the terminal's echo can't imitate: in what is typed they are split by quotes.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::console::{Console, Mark};
use super::error::{Result, VmError};

/// The shell's line. Commands run one after the other.
#[derive(Debug)]
pub struct Shell {
    console: Console,
    writer: UnixStream,
    count: u64,
}

impl Shell {
    pub(super) fn new(console: Console, stream: UnixStream) -> Result<Self> {
        let writer = stream
            .try_clone()
            .map_err(VmError::io("sharing the shell's socket"))?;
        console.attach(stream)?;
        Ok(Self {
            console,
            writer,
            count: 0,
        })
    }

    /// Waits until the shell answers: after a boot, that is when systemd has started it.
    pub fn wait_ready(&mut self, within: Duration) -> Result<()> {
        let began = std::time::Instant::now();
        // What is typed before the shell runs is lost or echoed, so the question is asked again.
        loop {
            let asked = self.run_within("true", Duration::from_secs(3));
            match asked {
                Ok(_) => return Ok(()),
                Err(VmError::Deadline { tail, log, .. }) => {
                    let waited = began.elapsed();
                    if waited >= within {
                        let what = "the guest's shell to answer".to_owned();
                        return Err(VmError::Deadline {
                            what,
                            waited,
                            tail,
                            log,
                        });
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs `command`; its output comes back, trimmed.
    ///
    /// # Errors
    /// [`VmError::Shell`] when it ends with another status than 0.
    pub fn run(&mut self, command: &str) -> Result<String> {
        self.run_within(command, Duration::from_mins(1))
    }

    /// As [`Shell::run`], with a deadline of its own.
    pub fn run_within(&mut self, command: &str, within: Duration) -> Result<String> {
        let (status, output) = self.status_within(command, within)?;
        if status == 0 {
            return Ok(output);
        }
        Err(VmError::Shell {
            command: command.to_owned(),
            status,
            output,
        })
    }

    /// Runs `command` and returns its status with its output.
    pub fn status_within(&mut self, command: &str, within: Duration) -> Result<(i32, String)> {
        self.count += 1;
        let id = format!("{}_{}", std::process::id(), self.count);
        let mark = self.console.mark();
        self.send(&format!(
            "echo; echo FLEET_BE''GIN_{id}_; {{ {command}\n}} 2>&1; echo FLEET_E''ND_{id}_$?_\n"
        ))?;
        let begun = self
            .console
            .wait_for(&format!("FLEET_BEGIN_{id}_"), mark, within)?;
        let end = format!("FLEET_END_{id}_");
        let after = self.console.wait_for(&end, begun, within)?;
        self.console.wait_for("_", after, within)?;
        let said = self.console.since(begun);
        let (output, rest) = said.split_once(&end).unwrap_or((&said, ""));
        let status = rest.split('_').next().and_then(|s| s.parse().ok());
        Ok((
            status.unwrap_or(-1),
            output.replace('\r', "").trim().to_owned(),
        ))
    }

    /// Types a line and does not wait: for what ends the shell, such as a reboot.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.writer
            .write_all(text.as_bytes())
            .map_err(VmError::io("typing into the guest's shell"))
    }

    /// What the line said so far is kept in this log.
    pub fn log_mark(&self) -> Mark {
        self.console.mark()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    /// A guest that echoes what is typed, as a terminal does, and answers as `sh` would.
    fn guest(stream: UnixStream) {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        let mut typed = String::new();
        while reader.read_line(&mut typed).is_ok_and(|count| count > 0) {
            if !typed.contains("FLEET_E''ND") {
                continue;
            }
            write!(writer, "{}", typed.replace('\n', "\r\n")).unwrap();
            let id = typed.split("GIN_").nth(1).unwrap();
            let id = id.split("_;").next().unwrap();
            write!(
                writer,
                "\r\nFLEET_BEGIN_{id}_\r\nhello\r\nFLEET_END_{id}_3_\r\n# "
            )
            .unwrap();
            typed.clear();
        }
    }

    #[test]
    fn output_and_status_come_back_in_spite_of_the_echo() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || guest(theirs));
        let console = Console::new(dir.path().join("shell.log"));
        let mut shell = Shell::new(console, ours).unwrap();
        let answer = shell.status_within("echo hello; exit 3", Duration::from_secs(5));
        assert_eq!(answer.unwrap(), (3, "hello".to_owned()));
    }
}
