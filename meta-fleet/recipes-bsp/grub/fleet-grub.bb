SUMMARY = "GRUB for the EFI system partition, and the script that chooses a slot"
DESCRIPTION = "The boot loader is not part of a release: it is written once, when a device is flashed."
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${FLEET_SOURCE}/LICENSE;md5=b4fd7a8217da2072845f022000aa6937"

# Modules come from GRUB's package; its own image looks for its script on every disk, ours only on its own.
DEPENDS = "grub-efi grub-efi-native"

SRC_URI = "file://esp"

S = "${UNPACKDIR}/esp/EFI/fleet"
B = "${WORKDIR}/build"

INHIBIT_DEFAULT_DEPS = "1"

require conf/image-uefi.conf
inherit deploy nopackages

COMPATIBLE_HOST = "x86_64.*-linux"
PACKAGE_ARCH = "${MACHINE_ARCH}"

# Those of the reference image.
FLEET_GRUB_MODULES = "\
    all_video \
    boot \
    configfile \
    echo \
    efi_gop \
    fat \
    gzio \
    linux \
    loadenv \
    normal \
    part_gpt \
    reboot \
    regexp \
    search \
    serial \
    sleep \
    squash4 \
    terminal \
    test \
    true \
"

do_configure[noexec] = "1"
do_install[noexec] = "1"

do_compile[cleandirs] = "${B}"
do_compile() {
    grub-mkimage --format=x86_64-efi --prefix=/EFI/fleet --directory=${STAGING_LIBDIR}/grub/x86_64-efi \
        --output=${B}/${EFI_BOOT_IMAGE} ${FLEET_GRUB_MODULES}
    # An environment block: 1024 bytes, filled up.
    {
        echo "# GRUB Environment Block"
        cat ${S}/grubenv.txt
    } >${B}/grubenv
    size=$(stat -c %s ${B}/grubenv)
    [ $size -le 1024 ] || bbfatal "the factory environment has more than 1024 bytes"
    head -c $(expr 1024 - $size) /dev/zero | tr '\0' '#' >>${B}/grubenv
}

do_deploy() {
    install -d ${DEPLOYDIR}/fleet-grub
    install -m 0644 ${B}/${EFI_BOOT_IMAGE} ${B}/grubenv ${S}/grub.cfg ${DEPLOYDIR}/fleet-grub/
}
addtask deploy after do_compile before do_build
