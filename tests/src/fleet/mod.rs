//! A whole fleet on one host: the real control plane, the operator's real command, a bad network, and devices that
//! are virtual machines. Used by the stories, and by `cargo xtask demo`, `soak` and `bench`.

mod api;
mod control;
mod device;
mod error;
pub mod page;
pub mod safe_mode;
mod signer;
pub mod template;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::device::{DeviceDetail, DeviceView, Page};
use fleet_protocol::enrolment::{CreateEnrolmentToken, EnrolmentTokenCreated};
use fleet_protocol::release::{CreateRelease, ReleaseStatus, ReleaseView};
use fleet_protocol::rollout::{CreateRollout, RolloutView};
use fleet_protocol::trust::{BundleRef, Envelope, ReleaseMetadata};
use fleet_protocol::why::WhyTrace;
use fleet_protocol::{Percent, Version};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub use api::Api;
pub use control::Control;
pub use device::{Device, wait_until};
pub use error::{FleetError, Result};
pub use signer::Signer;

use crate::kit::{BundleFile, Kit};
use crate::proxy::Proxy;
use crate::vm::Programs;

/// Larger than the image, as a real card would be.
const CARD_BYTES: u64 = 2 << 30;

/// A control plane with its operator, and the network that leads to it.
#[derive(Debug)]
pub struct Fleet {
    kit: Arc<Kit>,
    programs: Arc<dyn Programs>,
    dir: PathBuf,
    control: Option<Control>,
    api: Api,
    proxy: Proxy,
    signer: Signer,
}

impl Fleet {
    /// Starts a control plane on `dir/fleet-data`: a new one, or the one that was there.
    pub fn start(kit: Arc<Kit>, programs: Arc<dyn Programs>, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(FleetError::io(format!("creating {}", dir.display())))?;
        let control = Control::start(&kit.control, &dir.join("fleet-data"))?;
        let api = api_of(&control)?;
        let proxy =
            Proxy::to(control.port()).map_err(FleetError::io("starting the network's proxy"))?;
        let signer = Signer::open(&kit.keys)?;
        Ok(Self {
            kit,
            programs,
            dir: dir.to_owned(),
            control: Some(control),
            api,
            proxy,
            signer,
        })
    }

    pub fn kit(&self) -> &Kit {
        &self.kit
    }

    pub fn programs(&self) -> &Arc<dyn Programs> {
        &self.programs
    }

    /// Where it keeps its files and logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The control plane over HTTP.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The network between devices and control plane.
    pub fn network(&self) -> &Proxy {
        &self.proxy
    }

    /// Who signs releases.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The folder of a control plane that runs.
    pub fn control(&self) -> Option<&Control> {
        self.control.as_ref()
    }

    /// Takes the control plane away, as a crash of its host would.
    pub fn kill_control(&mut self) {
        if let Some(control) = self.control.take() {
            control.kill();
        }
    }

    /// Stops the control plane in order, so that its data can be copied.
    pub fn stop_control(&mut self) {
        if let Some(control) = self.control.take() {
            control.stop();
        }
    }

    /// Brings it back, on another port; the network leads there.
    pub fn restart_control(&mut self) -> Result<()> {
        self.stop_control();
        let control = Control::start(&self.kit.control, &self.dir.join("fleet-data"))?;
        self.proxy.lead_to(control.port());
        self.api = api_of(&control)?;
        self.control = Some(control);
        Ok(())
    }

    /// Runs the operator's real command, with `--json`; what it prints comes back.
    pub fn cli(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = control::host_command(&self.kit.cli);
        if let Some(control) = &self.control {
            command
                .env("FLEET_SERVER", control.url())
                .env("FLEET_CA", control.ca_file())
                .arg("--token-file")
                .arg(control.token_file());
        }
        let said = run(command
            .arg("--json")
            .args(arguments)
            .env("FLEET_KEYS", &self.kit.keys)
            .env("FLEET_RAUC", &self.kit.rauc)
            // Nobody's own context may leak in.
            .env("FLEET_CONTEXT", self.dir.join("no-context.toml")))?;
        Ok(serde_json::from_str(&said).unwrap_or(Value::String(said)))
    }

    /// A one-time token for one device, as the file that its boot partition needs.
    pub fn provision(&self, name: &str) -> Result<PathBuf> {
        let request = CreateEnrolmentToken {
            valid_hours: None,
            max_uses: None,
            device_name: Some(name.to_owned()),
            role: None,
        };
        let created: EnrolmentTokenCreated = self.api.post("/v1/enrolment-tokens", &request)?;
        let file = self.dir.join(format!("provision-{name}.json"));
        let text = serde_json::to_vec_pretty(&created.provision).expect("plain data");
        fs::write(&file, text).map_err(FleetError::io(format!("writing {}", file.display())))?;
        Ok(file)
    }

    /// A link that opens the console and logs in.
    pub fn console_link(&self) -> Result<String> {
        match &self.control {
            Some(control) => control.console_link(),
            None => Ok(self.api.base().to_owned()),
        }
    }

    /// Writes the kit's image to a card (a file), with an enrolment in it, by the real `fleet flash`.
    pub fn flash(&self, name: &str) -> Result<PathBuf> {
        self.flash_with(name, &self.provision(name)?)
    }

    /// The same with this provisioning file.
    pub fn flash_with(&self, name: &str, provision: &Path) -> Result<PathBuf> {
        let card = self.dir.join(format!("{name}.img"));
        let _ = fs::remove_file(&card);
        fs::File::create(&card)
            .and_then(|file| file.set_len(CARD_BYTES))
            .map_err(FleetError::io(format!("creating {}", card.display())))?;
        let text = |path: &Path| path.display().to_string();
        let image = text(&self.kit.disk);
        let arguments = ["flash", &image, &text(&card), "--yes", "--provision"];
        self.cli(&[&arguments[..], &[&text(provision)]].concat())?;
        Ok(card)
    }

    /// What the kit knows of a bundle, as metadata that is valid for a day.
    pub fn metadata(&self, bundle: &BundleFile) -> Result<ReleaseMetadata> {
        let now = now();
        Ok(ReleaseMetadata {
            version: bundle.version.clone(),
            compatible: bundle
                .compatible
                .parse()
                .map_err(|e| FleetError::Unexpected {
                    what: "the bundle's compatible".to_owned(),
                    reason: format!("{e}"),
                })?,
            bundle: BundleRef {
                file_name: file_name(&bundle.path),
                sha256: bundle.sha256,
                size_bytes: bundle.size_bytes,
                manifest_sha256: bundle.manifest_sha256,
            },
            root_hash: bundle.root_hash,
            issued_at: now,
            not_after: now + SignedDuration::from_hours(24),
            min_version: None,
            rollback_floor: None,
            allow_downgrade: false,
            hardware: Vec::new(),
            notes: String::new(),
        })
    }

    /// Publishes a bundle of the kit by the real `fleet release publish`.
    pub fn publish(&self, name: &str) -> Result<Version> {
        let bundle = self.kit.bundle(name)?;
        let path = bundle.path.display().to_string();
        let root_hash = bundle.root_hash.to_string();
        self.cli(&["release", "publish", &path, "--root-hash", &root_hash])?;
        Ok(bundle.version.clone())
    }

    /// Publishes `bundle` under metadata of the story's own making, past the operator's command and its checks.
    pub fn publish_as(
        &self,
        bundle: &BundleFile,
        metadata: Envelope,
        status: ReleaseStatus,
    ) -> Result<()> {
        let path = format!("/v1/bundles/{}", bundle.sha256);
        if !self.api.exists(&path)? {
            self.api.put_file(&path, &bundle.path)?;
        }
        let release = CreateRelease { metadata, status };
        self.api.post::<Value>("/v1/releases", &release).map(drop)
    }

    /// Rolls a version out to everyone at once. Who runs what is not published here, as the factory's image,
    /// can't be taken back by the control plane: then it is not asked to.
    pub fn roll_out(&self, version: &Version) -> Result<RolloutView> {
        let published: Page<ReleaseView> = self.api.get("/v1/releases")?;
        let ways_back = self.devices()?.iter().all(|device| {
            let mut releases = published.items.iter();
            releases.any(|release| release.metadata.version == device.version)
        });
        let phase = fleet_protocol::rollout::Phase {
            percentage: Percent::HUNDRED,
            wait_seconds: 0,
        };
        let request = CreateRollout {
            version: version.clone(),
            phases: Some(vec![phase]),
            failure_threshold: None,
            rollback_on_failure: Some(ways_back),
            devices: None,
            deadline_seconds: None,
        };
        self.api.post("/v1/rollouts", &request)
    }

    pub fn rollout(&self, id: &fleet_protocol::RolloutId) -> Result<RolloutView> {
        self.api.get(&format!("/v1/rollouts/{id}"))
    }

    pub fn devices(&self) -> Result<Vec<DeviceView>> {
        Ok(self.api.get::<Page<DeviceView>>("/v1/devices")?.items)
    }

    pub fn device(&self, id: &fleet_protocol::DeviceId) -> Result<DeviceDetail> {
        self.api.get(&format!("/v1/devices/{id}"))
    }

    pub fn why(&self, id: &fleet_protocol::DeviceId) -> Result<WhyTrace> {
        self.api.get(&format!("/v1/devices/{id}/why"))
    }

    /// Delivers a configuration to every device: quick heartbeats and short windows, so that stories are short.
    pub fn configure_for_tests(&self, window_s: u32, deadline_s: u32) -> Result<()> {
        self.configure(&test_config(window_s, deadline_s))
    }

    /// Delivers a configuration to every device.
    pub fn configure(&self, document: &Value) -> Result<()> {
        self.api
            .put::<Value>("/v1/config/default", document)
            .map(drop)
    }

    /// Waits until exactly one device is enrolled and online.
    pub fn wait_online(&self, within: Duration) -> Result<DeviceView> {
        wait_until("a device to be online", within, || {
            let devices = self.devices()?;
            let online = devices.iter().find(|d| d.online).cloned();
            Ok((online, format!("{} devices", devices.len())))
        })
    }
}

/// Quick heartbeats, short patience, no delay before a reboot.
pub fn test_config(window_s: u32, deadline_s: u32) -> Value {
    json!({
        "control": {"heartbeat_interval_s": 5, "jitter_percent": 0, "max_backoff_s": 5, "request_timeout_s": 10},
        "health": {"window_s": window_s, "deadline_s": deadline_s},
        "updates": {"reboot_delay_s": 0},
    })
}

fn api_of(control: &Control) -> Result<Api> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).map_err(FleetError::io(format!("reading {}", path.display())))
    };
    Api::new(
        control.url(),
        &read(control.ca_file())?,
        &read(control.token_file())?,
    )
}

/// The harness is an edge: here real time comes in.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness stands where the operator's clock would"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn run(command: &mut std::process::Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(FleetError::io(format!("starting {shown}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(FleetError::Command {
        command: shown,
        status: output.status.to_string(),
        output: format!(
            "{}{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        ),
    })
}
