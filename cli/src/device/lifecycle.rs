//! `fleet device revoke`, `remove`, `restore`, `rename`, `move`, `orient`: whether a device is let in, what people call it, and
//! where and how its screen hangs.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fleet_protocol::device::{ChangeDevice, DeviceDetail, DeviceView};
use fleet_protocol::player::Orientation;

use super::resolve;
use crate::ask;
use crate::client::Client;
use crate::error::Result;
use crate::name::label;
use crate::output::{Output, printable};
use crate::venue;

#[derive(Debug, Args)]
pub struct LeavingArgs {
    /// Id or name
    pub device: String,
    /// Don't ask
    #[arg(long, short)]
    pub yes: bool,
}

pub(super) fn revoke(args: &LeavingArgs, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, &args.device)?;
    if !args.yes {
        let question = format!(
            "Revoke {}? It gets no commands and no updates from then on.",
            args.device
        );
        ask::confirm(&question, "give --yes to revoke without being asked")?;
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

pub(super) fn remove(args: &LeavingArgs, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, &args.device)?;
    let path = format!("/v1/devices/{id}");
    let detail: DeviceDetail = client.get(&path)?;
    if !args.yes {
        let question = format!(
            "Remove {}? It is not let in any more, and what it said and showed is forgotten, its proof of play too.",
            args.device
        );
        ask::confirm(&question, "give --yes to remove without being asked")?;
    }
    if !detail.device.revoked {
        client.delete(&path)?;
    }
    let _: serde_json::Value = client.post(&format!("{path}/remove"), &serde_json::json!({}))?;
    output.result(&detail.device, |d| {
        format!("{} ({id}) is forgotten\n", printable(&d.name))
    });
    Ok(())
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
    let change = ChangeDevice {
        name: Some(name.to_owned()),
        ..ChangeDevice::default()
    };
    let view = change_device(device, &change, client)?;
    output.result(&view, |v| {
        format!("{} is called {} now\n", v.device_id, printable(&v.name))
    });
    Ok(())
}

pub(super) fn relocate(device: &str, venue: &str, client: &Client, output: Output) -> Result<()> {
    let change = ChangeDevice {
        venue_id: Some(venue::resolve(venue, client)?),
        ..ChangeDevice::default()
    };
    let view = change_device(device, &change, client)?;
    output.result(&view, |v| {
        let called = label(&v.name, v.device_id.as_str());
        format!(
            "{called} is in {} now, and in none of its groups yet\n",
            v.venue_id
        )
    });
    Ok(())
}

pub(super) fn orient(
    device: &str,
    orientation: Orientation,
    client: &Client,
    output: Output,
) -> Result<()> {
    let change = ChangeDevice {
        orientation: Some(orientation),
        ..ChangeDevice::default()
    };
    let view = change_device(device, &change, client)?;
    output.result(&view, |v| {
        let called = label(&v.name, v.device_id.as_str());
        format!("{called} hangs {} now\n", orientation_name(v.orientation))
    });
    Ok(())
}

fn change_device(device: &str, change: &ChangeDevice, client: &Client) -> Result<DeviceView> {
    let id = resolve(client, device)?;
    client.patch(&format!("/v1/devices/{id}"), change)
}

const ORIENTATIONS: [(&str, Orientation); 4] = [
    ("landscape", Orientation::Landscape),
    ("portrait", Orientation::Portrait),
    ("landscape-flipped", Orientation::LandscapeFlipped),
    ("portrait-flipped", Orientation::PortraitFlipped),
];

pub(super) fn orientation_name(orientation: Orientation) -> &'static str {
    let mut named = ORIENTATIONS.iter();
    named
        .find(|(_, one)| *one == orientation)
        .map_or("?", |(name, _)| name)
}

/// Takes the four names, which help and completions know too.
pub(super) fn orientation() -> impl TypedValueParser<Value = Orientation> {
    PossibleValuesParser::new(ORIENTATIONS.map(|(name, _)| name)).map(|text| {
        let mut named = ORIENTATIONS.iter();
        named
            .find(|(name, _)| *name == text)
            .map(|(_, orientation)| *orientation)
            .expect("one of the four names")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_hangs_in_one_of_four_ways() {
        for (name, orientation) in ORIENTATIONS {
            assert_eq!(orientation_name(orientation), name);
        }
        let names: Vec<String> = orientation()
            .possible_values()
            .unwrap()
            .map(|value| value.get_name().to_owned())
            .collect();
        assert_eq!(
            names,
            [
                "landscape",
                "portrait",
                "landscape-flipped",
                "portrait-flipped"
            ]
        );
    }
}
