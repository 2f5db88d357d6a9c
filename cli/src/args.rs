//! The command line's shape; each command's own arguments stand beside its code.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::bundle::BundleCommand;
use crate::config::ConfigCommand;
use crate::device::DeviceCommand;
use crate::flash::FlashArgs;
use crate::keys::KeysCommand;
use crate::output::Color;
use crate::release::ReleaseCommand;
use crate::rollout::RolloutCommand;
use crate::schedule::ScheduleCommand;

const AFTER_HELP: &str = "\
Exit codes:
    0  done
    1  tried, and failed
    2  the arguments make no sense
    3  a file, device, release or rollout does not exist
    4  refused: not allowed in the present state; nothing was changed
    5  the control plane cannot be reached
    6  the control plane does not accept the token
  130  interrupted";

/// Keys, bundles, releases, rollouts, devices and schedules of a fleet.
#[derive(Debug, Parser)]
#[command(name = "fleet", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Global {
    /// The control plane, such as `https://fleet.example:8443`
    #[arg(
        long,
        global = true,
        env = "FLEET_SERVER",
        value_name = "URL",
        help_heading = "Control plane"
    )]
    pub server: Option<String>,
    /// File that holds the operator's token (or the token itself in `FLEET_TOKEN`)
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Control plane"
    )]
    pub token_file: Option<PathBuf>,
    /// The CA certificate that the control plane's certificate must come from
    #[arg(
        long,
        global = true,
        env = "FLEET_CA",
        value_name = "FILE",
        help_heading = "Control plane"
    )]
    pub ca: Option<PathBuf>,
    /// Print results and errors as JSON
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// Print errors only
    #[arg(long, short, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// When to use colours (`NO_COLOR` is respected)
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub color: Color,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The fleet on one screen: devices, versions, rollouts that are going on
    Status,
    /// Remember a control plane's address, CA and token
    Login(LoginArgs),
    /// Release keys and the certificates that sign bundles
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Build, sign and look into RAUC bundles
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Sign and publish releases
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Bring a release to the fleet in phases
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Devices, commands to them, and their enrolment
    #[command(subcommand)]
    Device(DeviceCommand),
    /// What devices are told to do differently from their image
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What a schedule means: who plays when, and why
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Write an image to a card, disk or file
    Flash(FlashArgs),
    /// Print a script that completes this command in a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, ClapArgs)]
pub struct LoginArgs {
    /// The data folder of a control plane on this machine
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "token_file", "ca"])]
    pub data: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
