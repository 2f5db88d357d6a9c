//! What the board says of its temperature and its supply.

use fleet_protocol::event::{EventKind, Severity};
use fleet_protocol::update::{DeferReason, UpdateState};

use super::TWO;
use super::support::device::Device;

#[test]
fn heat_and_a_weak_supply_are_told_and_no_slot_is_written_meanwhile() {
    let mut device = Device::new();
    // Millidegrees; between the thresholds of the configuration.
    device.write("sys/class/thermal/thermal_zone0/temp", "41500\n");
    device.write("sys/class/thermal/thermal_zone1/temp", "80250\n");
    // Of a Raspberry Pi: too little voltage now.
    let firmware = "sys/devices/platform/soc/soc:firmware/get_throttled";
    device.write(firmware, "50001\n");
    device.provision();
    device.boot();
    device.control.wait("both events", |s| {
        let told = |kind: &EventKind| {
            let told = s.events.iter().find(|e| e.event_type == *kind);
            told.is_some_and(|e| {
                e.severity == Severity::Warning && e.payload["temperatureC"] == 80.25
            })
        };
        told(&EventKind::TemperatureHigh) && told(&EventKind::UnderVoltage)
    });
    device.publish(&TWO);
    device.control.wait("a reason to wait", |s| {
        s.reports.iter().any(|r| {
            matches!(&r.state, UpdateState::Deferred { why: DeferReason::Power { detail }, .. }
                if detail.contains("voltage"))
        })
    });
    assert_eq!(device.rauc.installations(), 0);
}
