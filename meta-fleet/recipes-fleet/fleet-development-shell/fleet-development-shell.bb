SUMMARY = "A root shell on the console, for development images"
DESCRIPTION = "Getty is masked on every image. This takes its place where somebody has to look inside."
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${FLEET_SOURCE}/LICENSE;md5=b4fd7a8217da2072845f022000aa6937"

SRC_URI = "file://fleet-development-shell.service"

S = "${UNPACKDIR}"
inherit features_check systemd

REQUIRED_DISTRO_FEATURES = "systemd"
SYSTEMD_SERVICE:${PN} = "fleet-development-shell.service"

do_install() {
    install -D -m 0644 ${S}/fleet-development-shell.service \
        ${D}${systemd_system_unitdir}/fleet-development-shell.service
}
