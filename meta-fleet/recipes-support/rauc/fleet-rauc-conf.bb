SUMMARY = "Which slots there are, and who may install"
DESCRIPTION = "The configuration of RAUC for this board, and who may speak to it"
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${FLEET_SOURCE}/LICENSE;md5=b4fd7a8217da2072845f022000aa6937"

S = "${UNPACKDIR}"
INHIBIT_DEFAULT_DEPS = "1"
do_configure[noexec] = "1"
do_compile[noexec] = "1"

inherit fleet_rootfs

PACKAGE_ARCH = "${MACHINE_ARCH}"

# RAUC's own lets every user install.
FLEET_REPLACES = "usr/share/dbus-1/system.d/de.pengutronix.rauc.conf"

do_install:append() {
    conf=${D}${nonarch_libdir}/rauc/system.conf
    sed -i 's/@COMPATIBLE@/${FLEET_COMPATIBLE}/' $conf
    if [ "${FLEET_BOOTLOADER}" = uboot ]; then
        # Three attempts for a trial, as GRUB gives them.
        sed -i -e 's/^bootloader=grub$/bootloader=uboot\nboot-attempts=3\nboot-attempts-primary=3/' -e '/^grubenv=/d' $conf
    fi
}

RPROVIDES:${PN} += "virtual-rauc-conf"
