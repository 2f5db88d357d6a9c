FILESEXTRAPATHS:prepend:fleet := "${FLEET_LAYER}/recipes-kernel/linux/files:"

require recipes-kernel/linux/fleet-kernel.inc

SRC_URI:append:fleet = " file://fleet-rpi.cfg"
