//! The way into safe mode that a broken release takes.

use std::time::Duration;

use super::{Result, page};
use crate::vm::Vm;

const WITHIN: Duration = Duration::from_mins(5);

/// Kills the agent until systemd has had enough; the page of safe mode comes back.
pub fn crash_loop(vm: &mut Vm) -> Result<String> {
    let kill = "for n in 1 2 3 4 5 6 7 8; do \
        systemctl kill -s KILL fleet-agent.service; sleep 3; \
        systemctl is-active -q fleet-safe-mode.target && break; done; true";
    vm.shell()?.run_within(kill, WITHIN)?;
    page::wait_for(vm.page_port()?, "safe mode", WITHIN)
}
