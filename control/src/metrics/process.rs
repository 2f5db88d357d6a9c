//! The process itself, under the names that every Prometheus client has for it.

use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, Registry};

struct Process {
    started: Gauge,
    resident: IntGauge,
    open_files: IntGauge,
    most_files: IntGauge,
}

pub(super) fn register(registry: &Registry, started: Timestamp) {
    let gauge = |name, help| IntGauge::new(name, help).expect("a constant of the right form");
    let process = Process {
        started: Gauge::new(
            "process_start_time_seconds",
            "When the control plane started, in seconds since 1970.",
        )
        .expect("a constant of the right form"),
        resident: gauge("process_resident_memory_bytes", "Resident memory."),
        open_files: gauge("process_open_fds", "Open file descriptors."),
        most_files: gauge("process_max_fds", "Most file descriptors that may be open."),
    };
    process.started.set(super::seconds(started));
    registry
        .register(Box::new(process))
        .expect("each name is registered once");
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.started.desc();
        for gauge in [&self.resident, &self.open_files, &self.most_files] {
            all.extend(gauge.desc());
        }
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            self.open_files
                .set(i64::try_from(open.count()).unwrap_or(i64::MAX));
        }
        if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            self.most_files.set(i64::try_from(most).unwrap_or(i64::MAX));
        }
        let mut all = self.started.collect();
        for gauge in [&self.resident, &self.open_files, &self.most_files] {
            all.extend(gauge.collect());
        }
        all
    }
}

/// proc(5): `VmRSS:   1234 kB`.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
