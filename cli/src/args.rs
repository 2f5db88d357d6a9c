//! The command line's shape; each command's own arguments stand beside its code.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::account::{PasswordArgs, SessionCommand, TotpCommand};
use crate::alert::AlertCommand;
use crate::api_key::ApiKeyCommand;
use crate::asset::AssetCommand;
use crate::audit::AuditCommand;
use crate::bundle::BundleCommand;
use crate::config::ConfigCommand;
use crate::device::DeviceCommand;
use crate::flash::FlashArgs;
use crate::keys::KeysCommand;
use crate::login::LoginArgs;
use crate::output::Color;
use crate::override_::OverrideCommand;
use crate::playlist::PlaylistCommand;
use crate::publish::PublishArgs;
use crate::release::ReleaseCommand;
use crate::rollout::RolloutCommand;
use crate::schedule::ScheduleCommand;
use crate::user::UserCommand;
use crate::venue::VenueCommand;
use crate::webhook::WebhookCommand;

const AFTER_HELP: &str = "\
Exit codes:
    0  done
    1  tried, and failed
    2  the arguments make no sense
    3  a file does not exist, or nothing on the control plane goes by that name
    4  refused: not allowed in the present state, or not to you; nothing was changed
    5  the control plane cannot be reached
    6  the control plane does not accept login or token
  130  interrupted";

/// A fleet's screens: what they show, and what they run.
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
    /// File that holds a token to use instead of a login (or the token itself in `FLEET_TOKEN`)
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
    /// Log in at a control plane, or remember its address, CA and token
    Login(LoginArgs),
    /// End the session, and forget its tokens
    Logout,
    /// Who you are to the control plane, and what you may do
    Whoami,
    /// Where you are logged in
    #[command(subcommand)]
    Session(SessionCommand),
    /// Choose another password
    Password(PasswordArgs),
    /// A second factor for your logins
    #[command(subcommand)]
    Totp(TotpCommand),
    /// People and their roles
    #[command(subcommand)]
    User(UserCommand),
    /// Keys for programs
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// The record of what was done, and by whom
    #[command(subcommand)]
    Audit(AuditCommand),
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
    /// What is wrong in the fleet, who looks after it, and by which rules it is noticed
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Who is told of alerts, by signed messages over HTTPS
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// What devices are told to do differently from their image
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Pictures and films to screens in one step: upload, make a playlist, publish it
    Publish(PublishArgs),
    /// Pictures and films
    #[command(subcommand)]
    Asset(AssetCommand),
    /// What plays in which order
    #[command(subcommand)]
    Playlist(PlaylistCommand),
    /// Places with screens, and groups of screens in them
    #[command(subcommand)]
    Venue(VenueCommand),
    /// What plays when; and of a schedule in a file who plays when, and why
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// What goes before the schedule for a while: "now, for an hour, on these screens"
    #[command(subcommand)]
    Override(OverrideCommand),
    /// Write an image to a card, disk or file
    Flash(FlashArgs),
    /// Print a script that completes this command in a shell
    Completions { shell: clap_complete::Shell },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    fn accepts(line: &str) -> bool {
        Args::try_parse_from(line.split(' ')).is_ok()
    }

    /// Those that stand on lines of their own.
    #[test]
    fn what_the_operators_runbook_has_one_type_is_understood() {
        let runbook = include_str!("../../docs/runbooks/operator.md");
        let lines = runbook.lines().filter(|line| line.starts_with("    "));
        let commands: Vec<&str> = lines
            .filter_map(|line| line.split("  #").next())
            .map(str::trim)
            .filter(|line| line.starts_with("fleet "))
            .collect();
        assert!(commands.len() >= 10, "{commands:?}");
        for line in commands {
            assert!(accepts(line), "{line}");
        }
    }

    #[test]
    fn commands_for_content_take_what_they_need() {
        for line in [
            "fleet publish a.png b.png --name Menu --seconds 8",
            "fleet asset upload a.png b.png --json",
            "fleet asset list --status ready",
            "fleet playlist create Menu",
            "fleet playlist create Menu a.png b.png --seconds 4 --publish",
            "fleet playlist rollback Menu 3",
            "fleet venue show",
            "fleet venue set --fallback none",
            "fleet venue set Bar --name Pub --timezone Europe/London",
            "fleet venue group create Windows lobby door --venue Bar",
            "fleet venue group set Windows --empty",
            "fleet schedule show --venue Bar",
            "fleet schedule set - --publish",
            "fleet schedule add --playlist Menu --for device:lobby --priority -1",
            "fleet schedule remove slt_1 --publish",
            "fleet schedule rollback 2",
            "fleet device move lobby Bar",
            "fleet device remove lobby --yes",
            "fleet device token revoke tok_1 --venue Bar",
            "fleet device orient lobby portrait-flipped",
        ] {
            assert!(accepts(line), "{line}");
        }
    }

    #[test]
    fn what_a_command_for_content_cannot_do_without_is_asked_for() {
        for line in [
            "fleet publish",
            "fleet publish a.png --seconds 0",
            "fleet asset upload",
            "fleet asset list --status lost",
            "fleet asset delete",
            "fleet playlist set Menu",
            "fleet playlist rollback Menu",
            "fleet venue create Bar",
            "fleet venue create Bar --timezone Nowhere",
            "fleet venue set Bar",
            "fleet venue group set Windows",
            "fleet venue group set Windows lobby --empty",
            "fleet schedule add --playlist Menu",
            "fleet schedule add --for group:all",
            "fleet device orient lobby sideways",
        ] {
            assert!(!accepts(line), "{line}");
        }
    }

    #[test]
    fn commands_for_people_and_keys_take_what_they_need() {
        for line in [
            "fleet login",
            "fleet login --data ./fleet-data",
            "fleet login --server https://h --email a@b --password-stdin --code 123456",
            "fleet login --server https://h --ca-sha256 AB:CD:AB:CD:AB:CD:AB:CD:AB:CD:AB:CD:AB:CD:AB:CD:\
             AB:CD:AB:CD:AB:CD:AB:CD:AB:CD:AB:CD:AB:CD:AB:CD",
            "fleet password --link https://h/join?token=a --password-stdin",
            "fleet totp disable --code 123456",
            "fleet session revoke ses_1 ses_2",
            "fleet user list ada --status invited",
            "fleet user invite a@b --name Ada --venue Bar=editor --venue Roof=viewer --capability manage-releases",
            "fleet user change a@b --no-role --name Ada",
            "fleet user roles a@b Bar=manager",
            "fleet user roles a@b --none",
            "fleet user reset a@b --second-factor",
            "fleet api-key create ci --scope read --scope manage-venues --venue Bar --valid 90d",
            "fleet audit list rollouts --limit 500",
            "fleet audit check audit.ndjson",
        ] {
            assert!(accepts(line), "{line}");
        }
    }

    #[test]
    fn commands_for_alerts_take_what_they_need() {
        for line in [
            "fleet alert list",
            "fleet alert list --all --kind hot --venue Bar --device lobby --limit 500",
            "fleet alert list --status acknowledged",
            "fleet alert ack alt_1 alt_2 --note dust",
            "fleet alert rules show",
            "fleet alert rules set - --json",
            "fleet alert rules disable underVoltage hot",
            "fleet webhook create Ops https://a.example/hook --kind hot --kind offline --out secret",
            "fleet webhook set Ops --disable --all-kinds",
            "fleet alert mail add ops@example.org --kind hot --kind offline",
            "fleet alert mail deliveries ops@example.org",
            "fleet user reset ada@example.org --print",
            "fleet webhook test Ops",
        ] {
            assert!(accepts(line), "{line}");
        }
        for line in [
            "fleet alert list --kind smoke",
            "fleet alert list --all --status open",
            "fleet alert ack",
            "fleet alert show lobby",
            "fleet alert rules enable",
            "fleet webhook create Ops",
            "fleet webhook set Ops",
            "fleet webhook set Ops --enable --disable",
            "fleet alert mail add",
            "fleet user reset ada@example.org --print --second-factor",
        ] {
            assert!(!accepts(line), "{line}");
        }
    }

    #[test]
    fn what_a_command_for_people_and_keys_cannot_do_without_is_asked_for() {
        for line in [
            "fleet login --password-stdin",
            "fleet login --data d --email a@b",
            "fleet login --server https://h --ca-sha256 AB:CD",
            "fleet session revoke",
            "fleet user list --status lost",
            "fleet user invite",
            "fleet user invite a@b --role owner",
            "fleet user invite a@b --venue Bar",
            "fleet user change a@b",
            "fleet user change a@b --role admin --no-role",
            "fleet user roles a@b",
            "fleet user roles a@b Bar=viewer --none",
            "fleet api-key create ci",
            "fleet api-key create ci --scope everything",
            "fleet audit export",
            "fleet audit check --head abab",
        ] {
            assert!(!accepts(line), "{line}");
        }
    }
}
