//! What a decoder may still do once it has its order: compute, and read one file.
//!
//! Three fences, each of which holds without the others: Landlock (kernel 5.13) leaves the media file, the
//! libraries, a few read-only system folders, and the devices that this machine's profile names; seccomp leaves system calls that a decoder needs, so no
//! new sockets, programs or namespaces; limits bound memory and what may be written. A call that is not on
//! the list fails with `EPERM` rather than killing the process: libraries try things and go on without.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, path_beneath_rules,
};
use nix::sys::resource::{Resource, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

use super::super::wire::Order;
use crate::profile::{DecoderProfile, Nodes, Readable};

const OPEN_FILES: u64 = 256;

/// Where libraries and their data are.
const READABLE: &[&str] = &[
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/proc/self",
    "/proc/cpuinfo",
    "/sys/devices/system/cpu",
];
/// Why a decoder could not lock itself in. It then does not open the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    #[error("limiting {what}")]
    Limit {
        what: &'static str,
        #[source]
        source: nix::Error,
    },
    #[error("opening {path} for Landlock")]
    Path {
        path: String,
        #[source]
        source: landlock::PathFdError,
    },
    #[error("restricting files by Landlock")]
    Landlock(#[from] landlock::RulesetError),
    #[error("building the seccomp filter")]
    Filter(#[from] seccompiler::BackendError),
    #[error("applying the seccomp filter")]
    Apply(#[from] seccompiler::Error),
}

/// How well this process is locked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fences {
    All,
    /// The kernel has no Landlock, or it is switched off: other files can be read, though nothing can be told of them.
    WithoutLandlock,
}

impl From<RulesetStatus> for Fences {
    fn from(status: RulesetStatus) -> Self {
        match status {
            RulesetStatus::NotEnforced => Self::WithoutLandlock,
            // Older kernels know fewer kinds of access; all know reading and writing.
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Self::All,
        }
    }
}

/// Locks this process in for ever. Threads that run already stay free: there should be none.
pub(super) fn enter(order: &Order, frames_bytes: u64) -> Result<Fences, SandboxError> {
    limit(
        "memory",
        Resource::RLIMIT_DATA,
        order.profile.memory_bytes(),
    )?;
    limit("files", Resource::RLIMIT_NOFILE, OPEN_FILES)?;
    limit("written bytes", Resource::RLIMIT_FSIZE, frames_bytes)?;
    limit("core dumps", Resource::RLIMIT_CORE, 0)?;
    let fences = restrict_files(&order.path, &order.profile)?;
    restrict_calls()?;
    Ok(fences)
}

fn limit(what: &'static str, resource: Resource, value: u64) -> Result<(), SandboxError> {
    setrlimit(resource, value, value).map_err(|source| SandboxError::Limit { what, source })
}

fn restrict_files(media: &Path, profile: &DecoderProfile) -> Result<Fences, SandboxError> {
    let abi = ABI::V5;
    let read = AccessFs::from_read(abi);
    let file = PathFd::new(media).map_err(|source| SandboxError::Path {
        path: media.display().to_string(),
        source,
    })?;
    let described = profile.readable.iter().map(Readable::as_str);
    // What is not there is passed over.
    let devices = profile.devices.iter().flat_map(Nodes::present);
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rule(PathBeneath::new(file, AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(READABLE, read))?
        .add_rules(path_beneath_rules(described, read))?
        .add_rules(path_beneath_rules(devices, device))?
        .restrict_self()?;
    Ok(status.ruleset.into())
}

fn restrict_calls() -> Result<(), SandboxError> {
    // Its flags are behind a pointer, where no filter sees them; the C library falls back to `clone`.
    let without_clone3: BpfProgram = SeccompFilter::new(
        [(libc::SYS_clone3, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        ARCHITECTURE,
    )?
    .try_into()?;
    apply_filter(&without_clone3)?;
    // Last, because it forbids further filters.
    let allowed: BpfProgram = SeccompFilter::new(
        CALLS
            .iter()
            .map(|call| (*call, Vec::new()))
            .chain([(libc::SYS_clone, vec![no_new_namespaces()?])])
            .collect(),
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        SeccompAction::Allow,
        ARCHITECTURE,
    )?
    .try_into()?;
    apply_filter(&allowed)?;
    Ok(())
}

/// `clone` with `CLONE_THREAD`, which no other process or namespace can come of.
fn no_new_namespaces() -> Result<SeccompRule, SandboxError> {
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let condition = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(thread),
        thread,
    )?;
    Ok(SeccompRule::new(vec![condition])?)
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: seccompiler::TargetArch = seccompiler::TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: seccompiler::TargetArch = seccompiler::TargetArch::aarch64;

/// Seen in use by GStreamer 1.22 and 1.26 with libav, openh264, libde265, libvpx, libaom, faad, Opus, Vorbis, libjpeg
/// and libpng, and what glibc and the Rust runtime need besides.
const CALLS: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_ioctl,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_prlimit64,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // A pair without an address: GStreamer wakes its own threads by it.
    libc::SYS_socketpair,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getdents,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// Fences hold for the thread that puts them up, and what it starts.
    fn fenced_in<T: Send>(media: &Path, tried: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let profile = DecoderProfile::software(640).unwrap();
                assert_eq!(restrict_files(media, &profile).unwrap(), Fences::All);
                restrict_calls().unwrap();
                tried()
            });
            thread.join().unwrap()
        })
    }

    #[test]
    fn a_kernel_without_landlock_is_noticed() {
        let check = |status: RulesetStatus, expected| assert_eq!(Fences::from(status), expected);
        check(RulesetStatus::FullyEnforced, Fences::All);
        check(RulesetStatus::PartiallyEnforced, Fences::All);
        check(RulesetStatus::NotEnforced, Fences::WithoutLandlock);
    }

    #[test]
    fn a_decoder_reads_its_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (own, other) = (dir.path().join("own.mp4"), dir.path().join("other.mp4"));
        for path in [&own, &other] {
            std::fs::write(path, b"film").unwrap();
        }
        let (read, refused, written) = fenced_in(&own, || {
            let read = std::fs::read(&own).unwrap();
            let refused = std::fs::read(&other).unwrap_err().kind();
            let written = std::fs::write(&own, b"x").unwrap_err().kind();
            (read, refused, written)
        });
        assert_eq!(read, b"film");
        assert_eq!(refused, ErrorKind::PermissionDenied);
        assert_eq!(written, ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_decoder_reaches_no_network_and_starts_no_program() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (tcp, udp, unix, thread) = fenced_in(file.path(), || {
            let tcp = std::net::TcpStream::connect("127.0.0.1:9").unwrap_err();
            let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap_err();
            let unix = std::os::unix::net::UnixStream::connect("/run/dbus/socket").unwrap_err();
            let thread = std::thread::spawn(|| 7).join().unwrap();
            (tcp.kind(), udp.kind(), unix.kind(), thread)
        });
        assert_eq!(tcp, ErrorKind::PermissionDenied);
        assert_eq!(udp, ErrorKind::PermissionDenied);
        assert_eq!(unix, ErrorKind::PermissionDenied);
        assert_eq!(thread, 7);
        let called = |call| CALLS.contains(&call);
        for call in [
            libc::SYS_execve,
            libc::SYS_socket,
            libc::SYS_ptrace,
            libc::SYS_mount,
        ] {
            assert!(!called(call), "{call}");
        }
    }
}
