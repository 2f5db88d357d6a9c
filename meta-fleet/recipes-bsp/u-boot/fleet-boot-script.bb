SUMMARY = "The script by which U-Boot chooses a slot"
DESCRIPTION = "Attempts are counted for a trial only, as grub.cfg does it. The variables are RAUC's, and BOOT_x_LOCKED."
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${FLEET_SOURCE}/LICENSE;md5=b4fd7a8217da2072845f022000aa6937"

DEPENDS = "u-boot-tools-native"
PROVIDES = "u-boot-default-script"

SRC_URI = "\
    file://boot.cmd.in \
    file://fw_env-mmc.config \
    file://fw_env-virtio.config \
"

S = "${UNPACKDIR}"
B = "${WORKDIR}/build"

INHIBIT_DEFAULT_DEPS = "1"

inherit deploy kernel-arch

COMPATIBLE_HOST = "aarch64.*-linux"
PACKAGE_ARCH = "${MACHINE_ARCH}"

do_configure[noexec] = "1"

do_compile[cleandirs] = "${B}"
do_compile() {
    sed -e 's/@MEDIA@/${FLEET_BOOT_MEDIA}/' ${S}/boot.cmd.in >${B}/boot.cmd
    mkimage -A ${UBOOT_ARCH} -T script -C none -n "Fleet slot choice" -d ${B}/boot.cmd ${B}/boot.scr
    # No environment: U-Boot then takes its own, and the script saves the first one. Without this, a card that is flashed
    # anew would keep the choices of its earlier life.
    head -c 524288 /dev/zero | tr '\0' '\377' >${B}/uboot-env.bin
}

do_install() {
    install -D -m 0644 ${S}/fw_env-${FLEET_BOOT_MEDIA}.config ${D}${sysconfdir}/fw_env.config
}

do_deploy() {
    install -m 0644 ${B}/boot.scr ${B}/uboot-env.bin ${DEPLOYDIR}/
}
addtask deploy after do_compile before do_build

RDEPENDS:${PN} = "u-boot-fw-utils"
