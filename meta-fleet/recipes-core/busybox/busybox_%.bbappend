FILESEXTRAPATHS:prepend:fleet := "${THISDIR}/files:"

SRC_URI:append:fleet = " file://fleet.cfg"
