//! U-Boot's script, run by a shell with stand-ins for U-Boot's commands: which slot it boots, and what it saves.
//!
//! U-Boot's shell reads what the POSIX shell reads, as far as the script goes. What differs (numbers are hexadecimal,
//! variables are the environment) the stand-ins make up for.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Findings;
use crate::process;
use crate::workspace::Workspace;

const SCRIPT: &str = "recipes-bsp/u-boot/files/boot.cmd.in";

/// U-Boot's commands. A slot that `$loads` does not name has nothing to boot; the first boot ends the script.
const COMMANDS: &str = r#"
setenv() { to=$1; shift; eval "$to=\$*"; }
setexpr() { eval "$1=\$(($2 $3 $4))"; }
test() { case $2 in -gt) [ $(($1)) -gt $(($3)) ] ;; *) [ "$@" ] ;; esac; }
run() { eval "command=\$$1"; eval "$command"; }
saveenv() { echo "saved $BOOT_A_LEFT $BOOT_B_LEFT"; }
part() { case $loads in *$slot*) eval "$5=2" ;; *) return 1 ;; esac; }
load() { filesize=100; }
env() { release_args=quiet; }
fdt() { [ "$1" = addr ] || eval "$3=firmware"; }
booti() { echo "boots $bootargs"; exit 0; }
sleep() { :; }
reset() { echo resets; exit 0; }
"#;

pub(super) fn check(workspace: &Workspace) -> Result<Findings> {
    let path = workspace.layer().join(SCRIPT);
    let mut findings = Findings::default();
    let factory = boot(&path, &[], "A")?;
    if factory.last().map(String::as_str) != Some("boots firmware fleet.slot=A rauc.slot=A quiet ")
    {
        findings.add(&path, format!("does not boot a new device: {factory:?}"));
    }
    Ok(findings)
}

/// What the script says and does with this environment, when these slots hold something to boot.
fn boot(script: &Path, environment: &[(&str, &str)], loads: &str) -> Result<Vec<String>> {
    let text =
        fs::read_to_string(script).with_context(|| format!("reading {}", script.display()))?;
    let own = [("loads", loads), ("ramdisk_addr_r", "0x100")];
    let mut variables = String::new();
    for (name, value) in own.iter().chain(environment) {
        let _ = writeln!(variables, "{name}='{value}'");
    }
    let program = format!("{COMMANDS}{variables}{text}");
    let said = process::capture(process::command("dash").args(["-c", &program]))
        .with_context(|| format!("running {}", script.display()))?;
    let told = |line: &&str| !line.starts_with("fleet: ");
    Ok(said.lines().filter(told).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED_A: &[(&str, &str)] = &[
        ("BOOT_ORDER", "A B"),
        ("BOOT_A_LEFT", "3"),
        ("BOOT_A_LOCKED", "1"),
        ("BOOT_B_LEFT", "0"),
        ("BOOT_B_LOCKED", "0"),
    ];

    fn trial_of_b(left: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut environment = COMMITTED_A.to_vec();
        environment[0].1 = "B A";
        environment[3].1 = left;
        environment
    }

    fn check(environment: &[(&str, &str)], loads: &str, expected: &[&str]) {
        let layer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../meta-fleet");
        let lines = boot(&layer.join(SCRIPT), environment, loads).unwrap();
        let shorter: Vec<String> = lines
            .iter()
            .map(|line| {
                line.replace("firmware fleet.slot=", "")
                    .trim_end()
                    .to_owned()
            })
            .collect();
        assert_eq!(shorter, expected, "{environment:?}, {loads} loads");
    }

    #[test]
    fn a_new_device_boots_slot_a_and_saves_an_environment() {
        check(&[], "A", &["saved 3 0", "boots A rauc.slot=A quiet"]);
    }

    #[test]
    fn a_committed_slot_is_not_counted() {
        check(COMMITTED_A, "A B", &["boots A rauc.slot=A quiet"]);
    }

    #[test]
    fn a_trial_has_three_attempts_and_then_the_old_slot_is_back() {
        check(
            &trial_of_b("3"),
            "A B",
            &["saved 3 2", "boots B rauc.slot=B quiet fleet.attempt=1"],
        );
        check(
            &trial_of_b("1"),
            "A B",
            &["saved 3 0", "boots B rauc.slot=B quiet fleet.attempt=3"],
        );
        check(&trial_of_b("0"), "A B", &["boots A rauc.slot=A quiet"]);
    }

    #[test]
    fn a_slot_without_a_kernel_is_left_at_once() {
        check(
            &trial_of_b("3"),
            "A",
            &["saved 3 2", "boots A rauc.slot=A quiet"],
        );
    }

    #[test]
    fn with_all_attempts_gone_safe_mode_boots_the_slot_that_was_committed_last() {
        let mut gone = COMMITTED_A.to_vec();
        gone[1].1 = "0";
        gone[2].1 = "0";
        let safe_mode = "quiet fleet.safe_mode=1 systemd.unit=fleet-safe-mode.target";
        check(&gone, "A B", &[&format!("boots A rauc.slot=A {safe_mode}")]);
        gone[0].1 = "A";
        gone[4].1 = "1";
        check(&gone, "A B", &[&format!("boots B rauc.slot=B {safe_mode}")]);
    }

    #[test]
    fn a_device_that_can_load_nothing_tries_again() {
        check(COMMITTED_A, "", &["resets"]);
    }
}
