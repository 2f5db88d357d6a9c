SUMMARY = "Supervisor of a device: updates, health gate, watchdogs, safe mode"
DESCRIPTION = "Installs signed releases on trial, commits them when they are healthy, and keeps the system honest"
HOMEPAGE = "https://example.org/fleet"

inherit fleet_program fleet_rootfs

RDEPENDS:${PN} = "fleet-base fleet-rauc-conf rauc"
