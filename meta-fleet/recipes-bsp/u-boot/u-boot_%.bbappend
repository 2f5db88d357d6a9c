FILESEXTRAPATHS:prepend:fleet := "${THISDIR}/files:"

SRC_URI:append:fleet:aarch64 = " file://fleet.cfg file://env-${FLEET_BOOT_MEDIA}.cfg"
