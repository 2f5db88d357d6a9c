//! `fleet device enrol`: a one-time token in a file that `fleet flash --provision` takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fleet_protocol::RoleName;
use fleet_protocol::enrolment::{CreateEnrolmentToken, EnrolmentTokenCreated};

use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::output::Output;
use crate::store::{self, Access, Existing};
use crate::text::parse_duration;

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
    let request = CreateEnrolmentToken {
        valid_hours: Some(whole_hours(args.valid)?),
        max_uses: Some(args.uses),
        device_name: args.name.clone(),
        role: args.role.clone(),
    };
    let created: EnrolmentTokenCreated = client.post("/v1/enrolment-tokens", &request)?;
    let mut bytes = serde_json::to_vec_pretty(&created.provision).expect("plain data");
    bytes.push(b'\n');
    store::write(&args.out, &bytes, Access::OwnerOnly, Existing::Keep)?;
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

/// The control plane counts in hours: rounded up.
fn whole_hours(duration: Duration) -> Result<u32> {
    u32::try_from(duration.as_secs().div_ceil(3600))
        .ok()
        .filter(|hours| *hours > 0)
        .ok_or_else(|| {
            CommandError::usage("--valid must be longer than nothing").hint("such as 24h")
        })
}
