//! `fleet device revoke`, `restore`, `rename`: whether a device is let in, and what people call it.

use std::io::IsTerminal as _;

use clap::Args;
use fleet_protocol::device::{ChangeDevice, DeviceDetail, DeviceView};

use super::resolve;
use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::output::{Output, printable};

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Id or name
    pub device: String,
    /// Don't ask
    #[arg(long, short)]
    pub yes: bool,
}

pub(super) fn revoke(args: &RevokeArgs, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, &args.device)?;
    if !args.yes {
        confirm(&args.device)?;
    }
    client.delete(&format!("/v1/devices/{id}"))?;
    let detail: DeviceDetail = client.get(&format!("/v1/devices/{id}"))?;
    output.result(&detail.device, |d| {
        format!(
            "{} ({id}) is not let in any more. Let it in again: fleet device restore {id}\n",
            printable(&d.name)
        )
    });
    Ok(())
}

fn confirm(device: &str) -> Result<()> {
    let hint = "give --yes to revoke without being asked";
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::usage("nobody is there to confirm").hint(hint));
    }
    eprint!("Revoke {device}? It gets no commands and no updates from then on. [y/N] ");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|e| CommandError::io("cannot read the answer", e))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(CommandError::new(crate::error::Kind::Interrupted, "not confirmed").hint(hint))
}

pub(super) fn restore(device: &str, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, device)?;
    let path = format!("/v1/devices/{id}");
    let _: serde_json::Value = client.post(&format!("{path}/restore"), &serde_json::json!({}))?;
    let detail: DeviceDetail = client.get(&path)?;
    output.result(&detail.device, |d| {
        format!("{} ({id}) is let in again\n", printable(&d.name))
    });
    Ok(())
}

pub(super) fn rename(device: &str, name: &str, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, device)?;
    let change = ChangeDevice {
        name: name.to_owned(),
    };
    let view: DeviceView = client.patch(&format!("/v1/devices/{id}"), &change)?;
    output.result(&view, |v| {
        format!("{id} is called {} now\n", printable(&v.name))
    });
    Ok(())
}
