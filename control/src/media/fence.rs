//! What the process that looks at a file may still do: compute, read what it has open, and answer.
//!
//! Each fence holds without the others: limits bound memory and time, Landlock leaves no file, seccomp no socket and
//! no other program. A kernel without one of them is not worse off than without all.

use landlock::{ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

const MEMORY_BYTES: u64 = 1 << 30;
const CPU_SECONDS: u64 = 60;
const OPEN_FILES: u64 = 16;

/// Why a process could not lock itself in. It then does not look at the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FenceError {
    #[error("limiting {what}")]
    Limit {
        what: &'static str,
        #[source]
        source: nix::Error,
    },
    #[error("restricting files by Landlock")]
    Landlock(#[from] landlock::RulesetError),
    #[error("building the seccomp filter")]
    Filter(#[from] seccompiler::BackendError),
    #[error("applying the seccomp filter")]
    Apply(#[from] seccompiler::Error),
}

/// Locks this process in for ever.
pub(super) fn enter() -> Result<(), FenceError> {
    limit("memory", Resource::RLIMIT_DATA, MEMORY_BYTES)?;
    limit("time", Resource::RLIMIT_CPU, CPU_SECONDS)?;
    limit("files", Resource::RLIMIT_NOFILE, OPEN_FILES)?;
    limit("written bytes", Resource::RLIMIT_FSIZE, 0)?;
    limit("core dumps", Resource::RLIMIT_CORE, 0)?;
    Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))?
        .create()?
        .restrict_self()?;
    let allowed: BpfProgram = SeccompFilter::new(
        ALLOWED.iter().map(|call| (*call, Vec::new())).collect(),
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        SeccompAction::Allow,
        ARCHITECTURE,
    )?
    .try_into()?;
    apply_filter(&allowed)?;
    Ok(())
}

/// Whoever reaches a limit gets its signal; a second later, or a byte more, the end.
fn limit(what: &'static str, resource: Resource, value: u64) -> Result<(), FenceError> {
    let failed = |source| FenceError::Limit { what, source };
    let (_, most) = getrlimit(resource).map_err(failed)?;
    let hard = value.saturating_add(u64::from(value > 0)).min(most);
    setrlimit(resource, value.min(most), hard).map_err(failed)
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

/// What reading, computing and answering need. Everything else fails with `EPERM`: networks, programs, processes, files,
/// signals to others.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_write,
    libc::SYS_writev,
];

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    /// Set in the process that is to lock itself in.
    const INSIDE: &str = "FLEET_TEST_FENCE";

    #[expect(
        clippy::disallowed_methods,
        reason = "what is locked in cannot wait for itself, and what must not start has no deadline"
    )]
    /// The test program again, for this one test: what is locked in can't be let out for the others.
    #[test]
    fn from_inside_there_is_no_way_out() {
        if std::env::var_os(INSIDE).is_none() {
            let inside = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "media::fence::tests::from_inside_there_is_no_way_out",
                ])
                .args(["--test-threads", "1", "--nocapture"])
                .env(INSIDE, "1")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&inside.stdout);
            assert!(said.contains("locked in"), "{inside:?}");
            return;
        }
        super::enter().unwrap();
        assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
        assert!(std::fs::read("/etc/hostname").is_err());
        assert!(Command::new("true").status().is_err());
        assert!(nix::sys::signal::kill(nix::unistd::getppid(), None).is_err());
        println!("locked in");
    }
}
