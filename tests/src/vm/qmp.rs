//! QEMU's machine protocol: one command, one answer, events skipped. Follows QEMU's `docs/interop/qmp-spec.rst`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::{Result, VmError};

/// One connection, past the handshake.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Qmp {
    /// Takes the greeting and enters command mode.
    pub(super) fn handshake(stream: UnixStream) -> Result<Self> {
        let writer = stream
            .try_clone()
            .map_err(VmError::io("sharing the QMP socket"))?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
            writer,
        };
        let greeting = qmp.read("the greeting")?;
        if greeting.get("QMP").is_none() {
            return Err(VmError::Qmp {
                command: "handshake".to_owned(),
                reason: format!("unexpected greeting {greeting}"),
            });
        }
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs one command; its `return` value comes back.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.execute_within(command, arguments, Duration::from_mins(1))
    }

    /// As [`Qmp::execute`], with a deadline of its own.
    pub fn execute_within(
        &mut self,
        command: &str,
        arguments: &Value,
        within: Duration,
    ) -> Result<Value> {
        self.writer
            .set_read_timeout(Some(within))
            .map_err(VmError::io("setting QMP's deadline"))?;
        let mut line = json!({"execute": command, "arguments": arguments}).to_string();
        line.push('\n');
        self.writer
            .write_all(line.as_bytes())
            .map_err(VmError::io(format!("sending QMP `{command}`")))?;
        loop {
            let mut answer = self.read(command)?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(VmError::Qmp {
                    command: command.to_owned(),
                    reason: error["desc"].as_str().unwrap_or("no reason").to_owned(),
                });
            }
        }
    }

    /// Runs a command of the human monitor and returns what it printed.
    pub fn monitor(&mut self, line: &str, within: Duration) -> Result<String> {
        let said = self.execute_within(
            "human-monitor-command",
            &json!({"command-line": line}),
            within,
        )?;
        let said = said.as_str().unwrap_or_default().to_owned();
        // The human monitor has no status: these words are all there is.
        if said.starts_with("Error") || said.starts_with("unknown command") {
            return Err(VmError::Qmp {
                command: line.to_owned(),
                reason: said,
            });
        }
        Ok(said)
    }

    fn read(&mut self, command: &str) -> Result<Value> {
        let mut line = String::new();
        let count = self
            .reader
            .read_line(&mut line)
            .map_err(VmError::io(format!(
                "waiting for QMP's answer to {command}"
            )))?;
        if count == 0 {
            return Err(VmError::Off {
                what: format!("QMP {command}"),
                detail: "QEMU closed the connection".to_owned(),
            });
        }
        serde_json::from_str(&line).map_err(|error| VmError::Qmp {
            command: command.to_owned(),
            reason: format!("{error} in {line}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(answers: &'static [&'static str]) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut writer = theirs.try_clone().unwrap();
            writeln!(writer, r#"{{"QMP":{{"version":{{}}}}}}"#).unwrap();
            let mut lines = BufReader::new(theirs).lines();
            for answer in answers {
                lines.next().unwrap().unwrap();
                writer.write_all(answer.as_bytes()).unwrap();
            }
        });
        ours
    }

    #[test]
    fn events_between_command_and_answer_are_skipped() {
        let stream = server(&[
            "{\"return\":{}}\n",
            "{\"event\":\"RESET\"}\n{\"return\":{\"status\":\"running\"}}\n",
        ]);
        let mut qmp = Qmp::handshake(stream).unwrap();
        let status = qmp.execute("query-status", &json!({})).unwrap();
        assert_eq!(status["status"], "running");
    }

    #[test]
    fn an_error_names_the_command_and_the_reason() {
        let stream = server(&[
            "{\"return\":{}}\n",
            "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such device\"}}\n",
        ]);
        let error = Qmp::handshake(stream)
            .unwrap()
            .execute("device_del", &json!({"id": "x"}))
            .unwrap_err()
            .to_string();
        assert!(error.contains("device_del") && error.contains("no such device"));
    }
}
