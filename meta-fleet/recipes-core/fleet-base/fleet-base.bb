SUMMARY = "What a device is besides its programs"
DESCRIPTION = "Mounts, data partition, journal, watchdog, network, kernel settings; the units that a screen does not want"
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${FLEET_SOURCE}/LICENSE;md5=b4fd7a8217da2072845f022000aa6937"

S = "${UNPACKDIR}"
INHIBIT_DEFAULT_DEPS = "1"
do_configure[noexec] = "1"
do_compile[noexec] = "1"

inherit fleet_rootfs

PACKAGE_ARCH = "${MACHINE_ARCH}"

# base-files, systemd and systemd-resolved have them too.
FLEET_REPLACES = "\
    etc/fstab \
    etc/hostname \
    etc/hosts \
    etc/machine-id \
    etc/mtab \
    etc/resolv.conf \
    usr/lib/systemd/system/default.target \
"

# grubenv's keeper has nothing to keep beside U-Boot, whose environment is there twice anyway.
do_install:append() {
    if [ "${FLEET_BOOTLOADER}" = uboot ]; then
        find ${D} -name 'fleet-grubenv-backup*' -delete
    fi
}

# e2fsck, growing, mounting; the watchdog and the journal are systemd's own.
RDEPENDS:${PN} = "busybox e2fsprogs-e2fsck kmod systemd systemd-networkd util-linux-mount util-linux-umount"
