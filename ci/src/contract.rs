//! `cargo xtask contract`: a control plane is asked by schemathesis, which makes up requests from the control plane's own
//! OpenAPI document, good ones and bad ones, and holds every answer against it.
//!
//! Two rounds: as an operator, and as a device that was enrolled for it. An answer that is not documented, does not fit
//! its schema, or is a server's error fails the run; the request that led to it stands in the log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fleet_protocol::enrolment::{CreateEnrolmentToken, EnrollResponse, EnrolmentTokenCreated};
use fleet_tests::fleet::{Api, Control};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use crate::process;
use crate::progress::Progress;
use crate::python::Python;
use crate::workspace::Workspace;

const PACKAGES: &[&str] = &["schemathesis==4.32.5"];
/// What is asked of each answer. Whether what is refused was rightly refused is for our own tests to say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,allow_header_conformance";
/// Routes for devices; all others are for operators, or for anyone.
const OF_DEVICES: &[&str] = &["Devices' agents", "Players"];
/// Its answer goes on for as long as it takes.
const ENDLESS: &str = "/v1/device/wakeup";

/// How thoroughly to ask.
#[derive(Debug, clap::Args)]
pub struct ContractArguments {
    /// Requests made up for each operation, beyond those that cover the document.
    #[arg(long, default_value_t = 10)]
    examples: u32,
    /// Where the made-up requests begin: another number, other requests.
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

/// Starts a control plane and has it asked.
///
/// # Errors
/// When an answer breaks the contract, or something that the run needs is not there.
pub fn run(workspace: &Workspace, arguments: &ContractArguments, progress: Progress) -> Result<()> {
    let step = progress.step("Building the control plane");
    let mut build = process::cargo();
    build
        .args(["build", "--locked", "--package", "fleet-control"])
        .current_dir(workspace.root());
    process::run_logged(&mut build, &workspace.log_file("contract-build"))?;
    step.done("");
    let step = progress.step("Installing schemathesis");
    let python = Python::ensure(workspace, PACKAGES)?;
    step.done("");
    let folder = tempfile::tempdir().context("making a folder for the control plane")?;
    let program = workspace.target().join("debug/fleet-control");
    let control = Control::start(&program, &folder.path().join("control"))?;
    let token = fs::read_to_string(control.token_file()).context("reading the operator's token")?;
    let token = token.trim();
    let device = Device::enrol(&control, token, folder.path())?;
    let mut kept = true;
    for round in [Round::Operator { token }, Round::Device(&device)] {
        let step = progress.step(format!("Asking as {}", round.name()));
        let log = workspace.log_file(&format!("contract-{}", round.name()));
        let mut command = round.command(&python, &control, arguments);
        command.current_dir(folder.path());
        match process::run_logged(&mut command, &log) {
            Ok(()) => step.done(&summary(&log)),
            Err(error) => {
                step.done("the contract is broken");
                eprintln!("{error:#}");
                kept = false;
            }
        }
    }
    if !kept {
        let logs = workspace.fleet_dir().join("logs");
        bail!(
            "some answers are not as the document says\nhint: the requests stand in {}/contract-*.log",
            logs.display()
        );
    }
    Ok(())
}

/// How many requests were made.
fn summary(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().find(|line| line.contains("generated,"));
    line.unwrap_or_default().trim().to_owned()
}

/// Who asks.
enum Round<'a> {
    Operator { token: &'a str },
    Device(&'a Device),
}

impl Round<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Operator { .. } => "operator",
            Self::Device(_) => "device",
        }
    }

    fn command(
        &self,
        python: &Python,
        control: &Control,
        arguments: &ContractArguments,
    ) -> Command {
        let mut command = python.command();
        command
            .args(["-m", "schemathesis.cli", "run"])
            .arg(format!("{}/v1/openapi.json", control.url()))
            .arg("--tls-verify")
            .arg(control.ca_file())
            .args(["--checks", CHECKS, "--phases", "coverage,fuzzing,stateful"])
            .args(["--max-examples", &arguments.examples.to_string()])
            .args(["--seed", &arguments.seed.to_string()])
            .args(["--continue-on-failure", "--warnings", "off", "--no-color"])
            .args(["--exclude-path", ENDLESS]);
        let which = match self {
            Self::Operator { token } => {
                command.args(["--header", &format!("Authorization: Bearer {token}")]);
                "--exclude-tag"
            }
            Self::Device(device) => {
                command
                    .args(["--header", &format!("x-device-token: {}", device.token)])
                    .arg("--request-cert")
                    .arg(&device.certificate)
                    .arg("--request-cert-key")
                    .arg(&device.key);
                "--include-tag"
            }
        };
        for tag in OF_DEVICES {
            command.args([which, tag]);
        }
        command
    }
}

/// A device that nobody but us plays.
struct Device {
    token: String,
    certificate: PathBuf,
    key: PathBuf,
}

impl Device {
    fn enrol(control: &Control, token: &str, folder: &Path) -> Result<Self> {
        let ca = fs::read_to_string(control.ca_file()).context("reading the CA's certificate")?;
        let api = Api::new(control.url(), &ca, token)?;
        let created: EnrolmentTokenCreated = api.post(
            "/v1/enrolment-tokens",
            &CreateEnrolmentToken {
                valid_hours: None,
                max_uses: None,
                device_name: Some("contract".to_owned()),
                role: None,
            },
        )?;
        let key = KeyPair::generate().context("making the device's key")?;
        let request = CertificateParams::default().serialize_request(&key);
        let request = request.context("asking for the device's certificate")?;
        let enrolled: EnrollResponse = api.post(
            "/v1/enroll",
            &json!({
                "enrolmentToken": created.provision.enrolment_token, "csrPem": request.pem()?,
                "compatible": "fleet-contract", "version": "1.0.0", "hardware": "none",
            }),
        )?;
        let device = Self {
            token: enrolled.device_token,
            certificate: folder.join("device.pem"),
            key: folder.join("device.key.pem"),
        };
        fs::write(&device.certificate, enrolled.certificate_pem).context("keeping it")?;
        fs::write(&device.key, key.serialize_pem()).context("keeping its key")?;
        Ok(device)
    }
}
