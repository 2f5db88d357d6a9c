//! A control plane with a simulated fleet, to look at the console and to try `fleet` on:
//! `cargo run -p fleet --example simulated_fleet -- FOLDER [DEVICES]`, until Enter.
//!
//! All run 1.0.0. Published are 2.0.0 (fine), 2.1.0 (3 % fail) and 3.0.0 (30 % fail).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool of the developers"
)]

#[allow(dead_code, reason = "tests need more of it")]
#[path = "../tests/fleet/support/simulator.rs"]
mod simulator;

use std::path::PathBuf;

use fleet_control::app::Settings;
use fleet_control::clock::Clock;
use fleet_control::server::{Config, start};
use fleet_protocol::enrolment::{CreateEnrolmentToken, EnrolmentTokenCreated};
use simulator::{Bad, Operator, Simulation, version};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let data = PathBuf::from(arguments.next().expect("say where the data may go"));
    let count: usize = arguments.next().map_or(200, |n| n.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config {
        data: data.clone(),
        database: None,
        listen: "127.0.0.1:0".parse().unwrap(),
        public_url: None,
        names: Vec::new(),
        settings: Settings::default(),
        clock: Clock::system(),
    };
    let running = runtime.block_on(start(config)).unwrap();
    let operator = Operator::of(&data);
    for release in ["1.0.0", "2.0.0", "2.1.0", "3.0.0"] {
        operator.publish(release);
    }
    let token = CreateEnrolmentToken {
        valid_hours: None,
        max_uses: Some(u32::try_from(count).unwrap()),
        device_name: Some("screen".to_owned()),
        role: None,
    };
    let token = serde_json::to_vec(&token).unwrap();
    let created = operator.send("POST", "/v1/enrolment-tokens", token);
    let created: EnrolmentTokenCreated = serde_json::from_str(&created).unwrap();
    let provision = data.join("provision.json");
    std::fs::write(&provision, serde_json::to_vec(&created.provision).unwrap()).unwrap();
    let bad = |release, percent| Bad {
        version: version(release),
        percent,
    };
    let bad = [bad("2.1.0", 3), bad("3.0.0", 30)];
    let simulation = Simulation::start(&provision, count, "1.0.0", &bad);
    println!("Log in:  fleet login --data {}", data.display());
    println!(
        "Console: https://{}/login?token={}",
        running.address, running.admin_token
    );
    println!("Enter ends it.");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(simulation);
    runtime.block_on(running.stop());
}
