SUMMARY = "Everything that is on a device"
DESCRIPTION = "The programs of Fleet, and what of the system they call"
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"

PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup

# Not packagegroup-core-boot: it would put the boot loader and the kernel into the root.
RDEPENDS:${PN} = "\
    base-files \
    base-passwd \
    busybox \
    ca-certificates \
    dbus \
    dosfstools \
    e2fsprogs-e2fsck \
    e2fsprogs-mke2fs \
    fleet-agent \
    fleet-base \
    fleet-keys \
    fleet-player \
    fleet-rauc-conf \
    iproute2 \
    netbase \
    openssh-sshd \
    rauc \
    systemd \
    udev \
"
RDEPENDS:${PN} += "${FLEET_FIRMWARE} ${MACHINE_ESSENTIAL_EXTRA_RDEPENDS}"
# What writes the boot loader's environment.
RDEPENDS:${PN} += "${@'fleet-boot-script' if d.getVar('FLEET_BOOTLOADER') == 'uboot' else 'grub-editenv'}"
# nbd, loop and squashfs for RAUC, and the drivers of displays, networks and disks that the board has.
RRECOMMENDS:${PN} = "kernel-modules ${MACHINE_ESSENTIAL_EXTRA_RRECOMMENDS} ${MACHINE_EXTRA_RRECOMMENDS}"
