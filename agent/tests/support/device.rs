//! A device: the real agent as a process, on a folder for a root, with fakes for RAUC and systemd and a
//! model of the boot loader between its boots.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use fleet_agent::core::boot::{BootEnv, bootloader};
use fleet_protocol::target::{Target, TargetKind, TargetRelease};
use fleet_protocol::trust::{
    BundleRef, Envelope, KEY_SET_PAYLOAD_TYPE, KeySet, PublicKey, ReleaseMetadata, SigningKey,
};
use fleet_protocol::update::Slot;
use fleet_protocol::{Sha256, Version};
use fleet_tests::fake_rauc::{Content, FakeBundle, FakeRauc, FakeSystemd, PrivateBus, Slots};
use jiff::Timestamp;

use super::control::{Control, PATIENCE};

pub const COMPATIBLE: &str = "fleet-qemux86-64";
pub const BUNDLE_BYTES: usize = 1_000_000;
/// Of the release key in the image's key set.
pub const FIRST_KEY: u8 = 7;

/// Quick enough for a test; what is tested is the order of things, not their length.
const CONFIG: &str = r#"
role = "signage"
log_level = "debug"
[control]
heartbeat_interval_s = 5
jitter_percent = 0
max_backoff_s = 5
request_timeout_s = 10
[updates]
bandwidth_limit_bytes_per_s = 0
min_free_bytes = 0
reboot_delay_s = 0
paused = false
[health]
window_s = 2
deadline_s = 45
required_units = ["fleet-agent.service"]
max_restarts = 3
control_plane = "required"
[thermal]
warn_c = 75.0
critical_c = 85.0
[services]
restartable = ["fleet-player.service"]
[spool]
max_events = 1000
max_age_days = 7
"#;

pub struct Device {
    pub root: tempfile::TempDir,
    pub rauc: FakeRauc,
    pub systemd: FakeSystemd,
    pub control: Control,
    bus: PrivateBus,
    agent: Option<Child>,
    boots: u32,
    slot: Slot,
}

fn content(version: &Version) -> Content {
    Content {
        version: version.clone(),
        root_hash: root_hash(version),
    }
}

pub fn root_hash(version: &Version) -> Sha256 {
    Sha256::of(format!("root of {version}"))
}

impl Device {
    /// A factory-fresh device with release 1.0.0 in slot A, ready to be switched on.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let bus = PrivateBus::start();
        let grubenv = root.path().join("boot/esp/EFI/fleet/grubenv");
        let device = Self {
            rauc: FakeRauc::start(
                &bus.address,
                grubenv.clone(),
                COMPATIBLE,
                Slots::from([(Slot::A, content(&Version::new(1, 0, 0)))]),
            ),
            systemd: FakeSystemd::start(&bus.address),
            control: Control::start(),
            bus,
            agent: None,
            boots: 0,
            slot: Slot::A,
            root,
        };
        let block = BootEnv::committed_to(Slot::A).to_block().unwrap();
        device.write_bytes("boot/esp/EFI/fleet/grubenv", &block);
        device.write(
            "usr/lib/rauc/system.conf",
            &format!("[system]\ngrubenv={}\n", grubenv.display()),
        );
        device.write("usr/share/fleet/agent.toml", CONFIG);
        let keys = serde_json::to_string(&key_set(1, FIRST_KEY, FIRST_KEY)).unwrap();
        device.write("usr/share/fleet/keyset.json", &keys);
        let route = "Iface\tDestination\neth0\t00000000\t0100000A\n";
        device.write("proc/net/route", route);
        device
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn provision(&self) {
        self.provision_with("one-time-secret");
    }

    pub fn provision_with(&self, token: &str) {
        let file = self.control.provision_file(token);
        let json = serde_json::to_string(&file).unwrap();
        self.write("boot/esp/fleet/provision.json", &json);
    }

    /// A file without a token, as for any number of cards.
    pub fn provision_for_pairing(&self) {
        let mut file = self.control.provision_file("");
        file.pairing = true;
        let json = serde_json::to_string(&file).unwrap();
        self.write("boot/esp/fleet/provision.json", &json);
    }

    pub fn boot_env(&self) -> BootEnv {
        let block = std::fs::read(self.path("boot/esp/EFI/fleet/grubenv")).unwrap();
        BootEnv::parse(&block).unwrap()
    }

    /// Firmware, boot loader, kernel, agent.
    pub fn boot(&mut self) {
        assert!(self.agent.is_none(), "it is running");
        let env = self.boot_env();
        let slots = self.rauc.slots();
        let (choice, counted) = bootloader::next_boot(&env, |slot| slots.contains_key(&slot));
        let choice = choice.expect("one slot is always whole");
        if let Some(counted) = counted {
            let block = counted.to_block().unwrap();
            self.write_bytes("boot/esp/EFI/fleet/grubenv", &block);
        }
        self.boots += 1;
        self.slot = choice.slot();
        self.rauc.booted(self.slot);
        let content = slots[&self.slot].clone();
        let safe_mode = match choice {
            bootloader::Choice::Normal(_) => "",
            bootloader::Choice::SafeMode(_) => " fleet.safe_mode=1",
        };
        self.write(
            "proc/cmdline",
            &format!(
                "rauc.slot={0} fleet.slot={0} fleet.roothash={1}{safe_mode}\n",
                self.slot, content.root_hash
            ),
        );
        self.write(
            "proc/sys/kernel/random/boot_id",
            &format!("boot-{}\n", self.boots),
        );
        self.write(
            "usr/lib/fleet/release.json",
            &format!(
                r#"{{"version":"{}","compatible":"{COMPATIBLE}","builtAt":"2026-01-01T00:00:00Z"}}"#,
                content.version
            ),
        );
        self.systemd.forget_jobs();
        self.start_agent();
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the harness owns the agent's process"
    )]
    pub fn start_agent(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("agent.log"))
            .unwrap();
        let agent = Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
            .args(["run", "--page-addr", "none", "--root"])
            .arg(self.root.path())
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus.address)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.agent = Some(agent);
    }

    /// `kill -9`: what a crash of the agent and a power cut have in common.
    pub fn kill_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// As `systemctl stop`.
    #[allow(clippy::cast_possible_wrap, reason = "a pid fits")]
    pub fn stop_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(agent.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        agent.wait().unwrap();
    }

    pub fn power_cut(&mut self) {
        self.kill_agent();
        self.boot();
    }

    /// Waits until the agent asks for a reboot, and lets it happen.
    pub fn reboot_when_asked(&mut self) {
        let asked = self.systemd.wait_for_job("start reboot.target", PATIENCE);
        assert!(
            asked,
            "no reboot was asked for within {PATIENCE:?}\n{}",
            self.log()
        );
        self.stop_agent();
        self.boot();
    }

    pub fn slot(&self) -> Slot {
        self.slot
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }

    /// Waits until the agent has logged `text`.
    pub fn wait_for_log(&self, text: &str) {
        let logged = wait_until(|| self.log().contains(text));
        assert!(logged, "`{text}` was not logged within {PATIENCE:?}");
    }

    /// Waits until what is to be on the screen has this text.
    pub fn wait_for_card(&self, text: &str) {
        let card = self.path("run/fleet/card.json");
        let card = || std::fs::read_to_string(&card).unwrap_or_default();
        let shown = wait_until(|| card().contains(text));
        assert!(shown, "the card is {} after {PATIENCE:?}", card());
    }

    /// Publishes `version` and makes it this device's target.
    pub fn publish(&self, version: &Version) -> ReleaseMetadata {
        let metadata = self.offer(version);
        self.aim(&metadata, TargetKind::Install);
        metadata
    }

    /// Leaves the bundle of `version` at the control plane.
    pub fn offer(&self, version: &Version) -> ReleaseMetadata {
        let bundle = FakeBundle {
            version: version.clone(),
            compatible: COMPATIBLE.to_owned(),
            root_hash: root_hash(version),
        };
        let bytes = bundle.to_bytes(BUNDLE_BYTES);
        let metadata = ReleaseMetadata {
            version: version.clone(),
            compatible: COMPATIBLE.parse().unwrap(),
            bundle: BundleRef {
                file_name: format!("fleet-{version}.raucb"),
                sha256: Sha256::of(&bytes),
                size_bytes: bytes.len() as u64,
                manifest_sha256: bundle.manifest_hash(),
            },
            root_hash: bundle.root_hash,
            issued_at: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::MAX,
            min_version: None,
            rollback_floor: None,
            allow_downgrade: false,
            hardware: Vec::new(),
            notes: String::new(),
        };
        let name = metadata.bundle.sha256.to_string();
        self.control.state().bundles.insert(name, bytes);
        metadata
    }

    /// Makes `metadata` the target, signed.
    pub fn aim(&self, metadata: &ReleaseMetadata, kind: TargetKind) {
        self.aim_at(metadata, signed(metadata, FIRST_KEY), kind);
    }

    pub fn aim_at(&self, metadata: &ReleaseMetadata, envelope: Envelope, kind: TargetKind) {
        let mut state = self.control.state();
        state.target = Target {
            generation: state.target.generation + 1,
            release: Some(TargetRelease {
                kind,
                rollout_id: Some("rol_1".parse().unwrap()),
                version: metadata.version.clone(),
                metadata: envelope,
                bundle_path: format!("/v1/device/bundles/{}", metadata.bundle.sha256),
                attempt: 1,
            }),
            config: state.target.config.clone(),
            key_sets: state.target.key_sets.clone(),
        };
        state.wake("target");
    }

    /// Waits until the control plane has a report of this state.
    pub fn wait_for_report(&self, name: &str) {
        self.control.wait(name, |state| {
            state.reports.last().is_some_and(|r| r.state.name() == name)
        });
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the agent's log:\n{}", self.log());
        }
    }
}

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_secret(&[seed; 32])
}

pub fn signed(metadata: &ReleaseMetadata, key: u8) -> Envelope {
    let mut envelope = metadata.to_envelope();
    envelope.sign(&signing_key(key));
    envelope
}

/// A key set of one key, signed by it and by the one before it.
pub fn key_set(version: u32, key: u8, before: u8) -> Envelope {
    let set = KeySet {
        version,
        threshold: 1,
        keys: vec![PublicKey::new("test", signing_key(key).verifying_key())],
        issued_at: Timestamp::UNIX_EPOCH,
    };
    let payload = serde_json::to_vec(&set).unwrap();
    let mut envelope = Envelope::unsigned(KEY_SET_PAYLOAD_TYPE, payload);
    envelope.sign(&signing_key(key));
    if before != key {
        envelope.sign(&signing_key(before));
    }
    envelope
}

fn wait_until(holds: impl Fn() -> bool) -> bool {
    let look = std::time::Duration::from_millis(100);
    (0..PATIENCE.as_millis() / look.as_millis()).any(|_| {
        std::thread::park_timeout(look);
        holds()
    })
}
