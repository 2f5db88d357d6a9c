//! Load, memory, disk and network, as the heartbeat reports them.

use std::path::Path;

use fleet_device::files::read_trimmed;
use fleet_protocol::heartbeat::{Metrics, Network, NetworkType};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Networks, System};

use super::paths::Paths;
use super::sysfs;

/// Keeps what is needed to tell the load between two readings.
#[derive(Debug)]
pub struct Meter {
    system: System,
}

impl Meter {
    pub fn new() -> Self {
        let mut system = System::new();
        system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_cpu_usage());
        Self { system }
    }

    /// The load is since the last call.
    pub fn read(&mut self, paths: &Paths) -> Metrics {
        self.system
            .refresh_cpu_specifics(CpuRefreshKind::nothing().with_cpu_usage());
        self.system
            .refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let thermal = sysfs::thermal(paths);
        Metrics {
            cpu_percent: self.system.global_cpu_usage(),
            mem_percent: percent(self.system.used_memory(), self.system.total_memory()),
            disk_free_bytes: free_bytes(paths.data_partition()).unwrap_or(0),
            temperature_c: thermal.temperature_c,
            throttled: thermal.throttled,
            under_voltage: thermal.under_voltage,
            agent_resident_bytes: resident_bytes(paths).unwrap_or(0),
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a percentage for people"
)]
fn percent(part: u64, whole: u64) -> f32 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 * 100.0 / whole as f64) as f32
}

/// Bytes that an unprivileged program could still write on the filesystem of `path`.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    Some(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// The agent's own resident memory: the second field of `/proc/self/statm`, in pages.
fn resident_bytes(paths: &Paths) -> Option<u64> {
    let text = read_trimmed(&paths.proc.join("self/statm"))?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Seconds since boot (`/proc/uptime`).
pub fn uptime_seconds(paths: &Paths) -> u64 {
    read_trimmed(&paths.proc.join("uptime"))
        .and_then(|text| text.split('.').next()?.parse().ok())
        .unwrap_or(0)
}

/// How the device is connected. `last_sync_at_utc` is the caller's to fill in.
pub fn network(paths: &Paths) -> Network {
    let route = default_route(paths);
    let addresses = Networks::new_with_refreshed_list()
        .iter()
        .filter(|(name, _)| *name != "lo")
        .flat_map(|(_, data)| data.ip_networks().iter().map(|net| net.addr))
        .filter(|addr| match addr {
            std::net::IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            std::net::IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        })
        .map(|addr| addr.to_string())
        .collect();
    Network {
        connected: route.is_some(),
        network_type: match route {
            None => NetworkType::None,
            Some(name)
                if paths
                    .sys
                    .join("class/net")
                    .join(&name)
                    .join("wireless")
                    .exists() =>
            {
                NetworkType::Wifi
            }
            Some(_) => NetworkType::Ethernet,
        },
        last_sync_at_utc: None,
        addresses,
    }
}

/// The interface of the default route, IPv4 first (`proc_pid_net(5)`).
fn default_route(paths: &Paths) -> Option<String> {
    let table = |name: &str| read_trimmed(&paths.proc.join("net").join(name)).unwrap_or_default();
    let v4 = table("route").lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let interface = fields.next()?;
        (fields.next()? == "00000000").then(|| interface.to_owned())
    });
    v4.or_else(|| {
        table("ipv6_route").lines().find_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let interface = *fields.get(9)?;
            let is_default = fields[0].bytes().all(|b| b == b'0') && fields[1] == "00";
            (is_default && interface != "lo").then(|| interface.to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_device::files::{Access, write_atomic};

    #[test]
    fn the_default_route_tells_how_the_device_is_connected() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        assert_eq!(network(&paths).network_type, NetworkType::None);
        write_atomic(
            &paths.proc.join("net/route"),
            b"Iface\tDestination\tGateway\nwlan0\t0000A8C0\t00000000\nwlan0\t00000000\t0100A8C0\n",
            Access::Public,
        )
        .unwrap();
        assert_eq!(network(&paths).network_type, NetworkType::Ethernet);
        std::fs::create_dir_all(paths.sys.join("class/net/wlan0/wireless")).unwrap();
        assert_eq!(network(&paths).network_type, NetworkType::Wifi);
    }

    #[test]
    fn the_agents_own_memory_is_known() {
        let metrics = Meter::new().read(&Paths::default());
        assert!(metrics.agent_resident_bytes > 0);
        assert!((0.0..=100.0).contains(&metrics.mem_percent));
    }
}
