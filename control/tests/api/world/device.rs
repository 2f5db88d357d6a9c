//! An enrolled device, and what it says.

use std::io::{BufRead as _, BufReader};

use fleet_protocol::Version;
use rcgen::KeyPair;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body};

use super::http::{Answer, answer, send};
use super::{World, root_hash};

/// An enrolled device.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) key: KeyPair,
    pub(super) agent: Agent,
    pub(super) sequence: u64,
}

impl Device {
    pub(crate) fn raw(
        &self,
        world: &World,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response<Body> {
        let mut all = vec![("x-device-token", self.token.as_str())];
        all.extend(headers);
        send(&self.agent, method, &world.url(path), &all, body)
    }

    /// With its certificate, and nothing else but these headers.
    pub(crate) fn anonymous_raw(
        &self,
        world: &World,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response<Body> {
        send(&self.agent, method, &world.url(path), headers, body)
    }

    pub(crate) fn anonymous(
        &self,
        world: &World,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        answer(self.anonymous_raw(world, method, path, headers, body))
    }

    pub(crate) fn send(&self, world: &World, method: &str, path: &str, body: &Value) -> Answer {
        answer(self.raw(world, method, path, &[], body.to_string().as_bytes()))
    }

    pub(crate) fn get(&self, world: &World, path: &str) -> Answer {
        answer(self.raw(world, "GET", path, &[], b""))
    }

    pub(crate) fn without_token(&self, world: &World, path: &str, token: Option<&str>) -> Answer {
        let headers: Vec<_> = token.map(|t| ("x-device-token", t)).into_iter().collect();
        answer(send(&self.agent, "GET", &world.url(path), &headers, b""))
    }

    pub(crate) fn target_version(&self, world: &World) -> Option<(String, String)> {
        let target = self.get(world, "/v1/device/target").ok();
        let release = target["release"].as_object()?;
        let text = |name: &str| release[name].as_str().unwrap().to_owned();
        Some((text("kind"), text("version")))
    }

    fn booted(version: &str) -> Value {
        let version: Version = version.parse().unwrap();
        json!({
            "slot": "B", "version": version, "rootHash": root_hash(&version.to_string()), "bootId": "x",
        })
    }

    pub(crate) fn heartbeat(&self, world: &World, version: &str, update: &Value) -> Answer {
        self.heartbeat_with(world, version, update, json!({}))
    }

    /// With more fields than those that every heartbeat has.
    pub(crate) fn heartbeat_with(
        &self,
        world: &World,
        version: &str,
        update: &Value,
        mut more: Value,
    ) -> Answer {
        let mut body = json!({
            "deviceTime": world.now(), "agentVersion": "0.1.0", "compatible": "fleet-qemux86-64",
            "hardware": "QEMU", "role": "signage", "mode": "normal",
            "booted": Self::booted(version), "uptimeSeconds": 4_000, "resetReason": "orderly",
            "update": update,
            "health": [{"name": "units", "ok": true, "detail": "all active"}],
            "metrics": {"cpuPercent": 3.0, "memPercent": 20.0, "diskFreeBytes": 1_000_000_000_u64},
            "network": {"connected": true, "type": "ETHERNET", "addresses": ["10.0.2.15"]},
            "errors": {"controlPlane": 0, "install": 0, "command": 0, "droppedEvents": 0},
            "configVersion": 0, "keySetVersion": 1,
        });
        let fields = body.as_object_mut().unwrap();
        fields.append(more.as_object_mut().unwrap());
        self.send(world, "POST", "/v1/device/heartbeat", &body)
    }

    pub(crate) fn report(&mut self, world: &World, booted: &str, state: &Value) {
        self.sequence += 1;
        let mut body = json!({
            "sequence": self.sequence, "at": world.now(), "booted": Self::booted(booted),
        });
        let fields = body.as_object_mut().unwrap();
        fields.extend(state.as_object().unwrap().clone());
        self.send(world, "POST", "/v1/device/update-report", &body)
            .ok();
    }

    /// Goes through a whole update, as a healthy device does.
    pub(crate) fn update(&mut self, world: &World, from: &str, to: &str) {
        self.report(
            world,
            from,
            &json!({"state": "rebootPending", "version": to, "slot": "B"}),
        );
        self.commit(world, to);
    }

    pub(crate) fn commit(&mut self, world: &World, version: &str) {
        self.report(
            world,
            version,
            &json!({"state": "committed", "version": version, "slot": "B"}),
        );
    }

    /// The wake-up stream, line by line.
    pub(crate) fn wakeups(&self, world: &World) -> impl Iterator<Item = String> + use<> {
        let response = self.raw(world, "GET", "/v1/device/wakeup", &[], b"");
        assert_eq!(response.status().as_u16(), 200);
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        lines
            .map_while(Result::ok)
            .filter_map(|l| l.strip_prefix("data: ").map(str::to_owned))
    }
}
