//! `fleet device enrol`: a one-time token in a file that `fleet flash --provision` takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fleet_protocol::RoleName;
use fleet_protocol::enrolment::{
    ClaimPairing, CreateEnrolmentToken, EnrolmentTokenCreated, PairingClaimed, PairingCode,
    ProvisionFile,
};

use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::output::{Output, printable};
use crate::store::{self, Access, Existing};
use crate::text::parse_duration;
use crate::venue::{self, InVenue};

#[derive(Debug, Args)]
pub struct EnrolArgs {
    /// The device's name, or the prefix for a batch
    #[arg(long)]
    pub name: Option<String>,
    #[arg(long)]
    pub role: Option<RoleName>,
    /// How many devices may use it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: u32,
    /// Worthless after this long
    #[arg(long, default_value = "24h", value_parser = parse_duration, value_name = "DURATION")]
    pub valid: Duration,
    /// No token: the device shows a code, and joins once `fleet device pair` has claimed it. One file does for any number
    /// of cards
    #[arg(long, conflicts_with_all = ["name", "role", "uses", "valid"])]
    pub by_code: bool,
    /// The file to write
    #[arg(long, short, default_value = "provision.json", value_name = "FILE")]
    pub out: PathBuf,
}

/// `--json` shape: never the secret, which is in the file alone.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Enrolled {
    file: PathBuf,
    token_id: fleet_protocol::TokenId,
    expires_at: jiff::Timestamp,
    server_url: String,
}

pub(super) fn run(args: &EnrolArgs, client: &Client, output: Output) -> Result<()> {
    // Before a token exists that nobody could read.
    if args.out.exists() {
        return Err(store::already_there(&args.out));
    }
    if args.by_code {
        return by_code(args, client, output);
    }
    let request = CreateEnrolmentToken {
        valid_hours: Some(whole_hours(args.valid)?),
        max_uses: Some(args.uses),
        device_name: args.name.clone(),
        role: args.role.clone(),
    };
    let created: EnrolmentTokenCreated = client.post("/v1/enrolment-tokens", &request)?;
    write(args, &created.provision)?;
    let enrolled = Enrolled {
        file: args.out.clone(),
        token_id: created.token_id,
        expires_at: created.expires_at,
        server_url: created.provision.server_url,
    };
    output.result(&enrolled, |e| {
        format!(
            "{} lets {} join until {}\nNext: fleet flash IMAGE DEVICE --provision {}\n",
            e.file.display(),
            if args.uses == 1 {
                "one device".to_owned()
            } else {
                format!("{} devices", args.uses)
            },
            e.expires_at,
            e.file.display()
        )
    });
    Ok(())
}

fn write(args: &EnrolArgs, provision: &ProvisionFile) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(provision).expect("plain data");
    bytes.push(b'\n');
    store::write(&args.out, &bytes, Access::OwnerOnly, Existing::Keep)
}

/// `--json` shape of `--by-code`.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ByCode {
    file: PathBuf,
    server_url: String,
}

fn by_code(args: &EnrolArgs, client: &Client, output: Output) -> Result<()> {
    let provision: ProvisionFile = client.get("/v1/pairing-file")?;
    write(args, &provision)?;
    let by_code = ByCode {
        file: args.out.clone(),
        server_url: provision.server_url,
    };
    output.result(&by_code, |made| {
        let file = made.file.display();
        format!(
            "{file} lets any number of devices show a code\nNext: fleet flash IMAGE DEVICE --provision {file}, switch it on, \
             and fleet device pair CODE\n"
        )
    });
    Ok(())
}

#[derive(Debug, Args)]
pub struct PairArgs {
    /// As the screen shows it, such as K7QF-2MXA
    pub code: PairingCode,
    /// What the device is to be called
    #[arg(long)]
    pub name: Option<String>,
    #[arg(long)]
    pub role: Option<RoleName>,
    #[command(flatten)]
    pub venue: InVenue,
}

/// Lets the device that shows the code in.
pub(super) fn pair(args: PairArgs, client: &Client, output: Output) -> Result<()> {
    let venue = venue::resolve(&args.venue.venue, client)?;
    let request = ClaimPairing {
        pairing_code: args.code,
        device_name: args.name,
        role: args.role,
    };
    let path = format!("/v1/venues/{venue}/devices/pairing/claim");
    let claimed: PairingClaimed = client.post(&path, &request)?;
    output.result(&claimed, |claimed| {
        let serial = claimed.serial_number.as_deref();
        let serial = serial.map(|serial| format!(", serial number {}", printable(serial)));
        format!(
            "{}{} joins within seconds; it may until {}\nNext: fleet device list --venue {venue}\n\
             If it is the wrong one: fleet device token revoke {} --venue {venue}, or fleet device remove once it has joined\n",
            printable(&claimed.hardware),
            serial.unwrap_or_default(),
            claimed.expires_at,
            claimed.token_id
        )
    });
    Ok(())
}

/// The control plane counts in hours: rounded up.
fn whole_hours(duration: Duration) -> Result<u32> {
    u32::try_from(duration.as_secs().div_ceil(3600))
        .ok()
        .filter(|hours| *hours > 0)
        .ok_or_else(|| {
            CommandError::usage("--valid must be longer than nothing").hint("such as 24h")
        })
}
