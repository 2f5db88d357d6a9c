# A release as images: the verified root, the boot image that holds its root hash, and a disk of both.
#
#   erofs-lz4.verity   the root with its hash tree appended: goes into rootfs-a or rootfs-b
#   fleetboot          squashfs of kernel, initrd, root hash and command line: goes into boot-a or boot-b
#   wic                a whole disk with the release in slot A, slot B empty
#
# Formats, block sizes, salt and partition types are those of the reference image (ci/src/image);
# `cargo xtask yocto check` compares what is written here and there.

IMAGE_FSTYPES = "erofs-lz4.verity fleetboot wic.zst wic.bmap"
IMAGE_FSTYPES:remove = "tar.bz2 ext3 ext4 wic.bz2"
# The lists are set by a class that is read after this one.
IMAGE_TYPES:append = " fleetboot"
IMAGE_TYPEDEP:fleetboot = "erofs-lz4.verity"
IMAGE_TYPEDEP:wic = "erofs-lz4.verity fleetboot"
CONVERSIONTYPES:append = " verity"
CONVERSION_DEPENDS_verity = "cryptsetup-native"
CONVERSION_CMD:verity = "fleet_add_hash_tree ${IMAGE_NAME}.${type}"

# Fixed, so that unchanged files are unchanged blocks and an update carries only what changed.
FLEET_ROOT_UUID = "f1ee7000-0000-4000-8000-000000000001"
FLEET_SALT = "666c656574000000000000000000000000000000000000000000000000000000"

# When the release was made: the clock of a device is never set before it. The last commit, unless the environment
# knows better.
FLEET_BUILT_AT ?= "${@fleet_built_at(d)}"
REPRODUCIBLE_TIMESTAMP_ROOTFS = "${FLEET_BUILT_AT}"

# One time for all files is not stored with each of them, so that it changes one block of a release.
EXTRA_IMAGECMD:erofs-lz4 = "-x-1 --quiet -U ${FLEET_ROOT_UUID} -T${FLEET_BUILT_AT}"

def fleet_built_at(d):
    try:
        said, _ = bb.process.run(["git", "-c", "safe.directory=*", "-C", d.getVar("FLEET_SOURCE"), "log", "-1", "--format=%ct"])
        return said.strip()
    except (bb.process.ExecutionError, bb.process.NotFoundError):
        # Not a checkout: 2026-01-01, the reference image's time.
        return "1767225600"

# --- the root

ROOTFS_POSTPROCESS_COMMAND:append = " fleet_lay_over; fleet_write_release; fleet_prune;"

# What several packages bring is ours.
fleet_lay_over() {
    aside=${IMAGE_ROOTFS}${datadir}/fleet-replaces
    if [ -d $aside ]; then
        cp -R --no-dereference --preserve=mode,links --remove-destination $aside/. ${IMAGE_ROOTFS}/
        rm -rf $aside
    fi
}

python fleet_write_release() {
    import datetime, json, os
    root = d.getVar("IMAGE_ROOTFS")
    built_at = datetime.datetime.fromtimestamp(int(d.getVar("FLEET_BUILT_AT")), datetime.timezone.utc)
    release = {
        "version": d.getVar("FLEET_VERSION"),
        "compatible": d.getVar("FLEET_COMPATIBLE"),
        "builtAt": built_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "channel": d.getVar("FLEET_CHANNEL"),
    }
    bb.utils.mkdirhier(os.path.join(root, "usr/lib/fleet"))
    with open(os.path.join(root, "usr/lib/fleet/release.json"), "w") as file:
        json.dump(release, file, indent=2)
        file.write("\n")
    # PID 1 sets a clock that is behind this file's time to it. Its time is set with everybody's, to FLEET_BUILT_AT.
    open(os.path.join(root, "usr/lib/clock-epoch"), "w").close()
}
fleet_write_release[vardeps] += "FLEET_VERSION FLEET_COMPATIBLE FLEET_CHANNEL FLEET_BUILT_AT"

# The kernel comes from the boot image, and nothing is installed on a device.
fleet_prune() {
    find ${IMAGE_ROOTFS}/boot -mindepth 1 -maxdepth 1 ! -name esp -exec rm -rf {} +
    rm -rf ${IMAGE_ROOTFS}${localstatedir}/lib/opkg
    rm -f ${IMAGE_ROOTFS}${sysconfdir}/ssh/ssh_host_*
}

# Appends the hash tree and says in verity.conf, in shell syntax, what the initrd needs.
fleet_add_hash_tree() {
    image=$1
    cp --sparse=always $image $image.verity
    truncate --size=%4096 $image.verity
    size=$(stat -c %s $image.verity)
    veritysetup format --no-superblock --hash=sha256 --data-block-size=4096 --hash-block-size=4096 \
        --salt=${FLEET_SALT} --hash-offset=$size --data-blocks=$(expr $size / 4096) \
        $image.verity $image.verity >${WORKDIR}/veritysetup.log
    hash=$(sed -n 's/^Root hash:[[:space:]]*//p' ${WORKDIR}/veritysetup.log)
    [ -n "$hash" ] || bbfatal "veritysetup printed no root hash"
    {
        echo "DATA_BLOCKS=$(expr $size / 4096)"
        echo "ROOT_HASH=$hash"
        echo "SALT=${FLEET_SALT}"
    } >${WORKDIR}/verity.conf
    fleet_check_size $image.verity ${FLEET_ROOT_SIZE}
}

fleet_check_size() {
    size=$(stat -c %s $1)
    slot=$(expr $2 \* 1048576)
    if [ $size -gt $slot ]; then
        bbfatal "$1 has $size bytes, its slot $slot
hint: leave packages out. The slots of devices in the field cannot grow; for a new product see fleet-machines.inc"
    fi
}

# --- the boot image

FLEET_INITRAMFS = "fleet-initramfs"
FLEET_COMMAND_LINE = "${FLEET_LAYER}/recipes-bsp/grub/files/boot/cmdline"

do_image_fleetboot[depends] += " \
    virtual/kernel:do_deploy \
    ${FLEET_INITRAMFS}:do_image_complete \
    cpio-native:do_populate_sysroot \
    squashfs-tools-native:do_populate_sysroot \
"
do_image_fleetboot[file-checksums] += "${FLEET_COMMAND_LINE}:True"
do_image_fleetboot[cleandirs] += "${WORKDIR}/fleetboot"

# gzip, because GRUB 2 reads neither lz4 nor zstd.
IMAGE_CMD:fleetboot () {
    tree=${WORKDIR}/fleetboot
    install -m 0644 ${DEPLOY_DIR_IMAGE}/${KERNEL_IMAGETYPE} $tree/vmlinuz
    install -m 0644 ${DEPLOY_DIR_IMAGE}/${FLEET_INITRAMFS}-${MACHINE}.cpio.gz $tree/initrd.img
    # The second archive is put right behind the first, where the kernel looks at multiples of four.
    truncate --size=%4 $tree/initrd.img
    (cd ${WORKDIR} && echo verity.conf |
        cpio --quiet --create --format=newc --owner=0:0 --reproducible >$tree/verity.img)
    arguments="$(sed 's/console=[^ ]*/console=${FLEET_CONSOLE}/' ${FLEET_COMMAND_LINE})"
    arguments="$arguments fleet.roothash=$(sed -n 's/^ROOT_HASH=//p' ${WORKDIR}/verity.conf)"
    if [ "${FLEET_BOOTLOADER}" = uboot ]; then
        echo "release_args=$arguments" >$tree/boot.env
    else
        echo "set release_args=\"$arguments\"" >$tree/boot.cfg
    fi
    mksquashfs $tree ${IMGDEPLOYDIR}/${IMAGE_NAME}.fleetboot -comp gzip -noappend -all-root -no-xattrs -no-progress \
        -all-time 0 -mkfs-time 0
    fleet_check_size ${IMGDEPLOYDIR}/${IMAGE_NAME}.fleetboot ${FLEET_BOOT_SIZE}
}

# What `fleet release sign --image-manifest` reads, in the reference image's words.
IMAGE_POSTPROCESS_COMMAND:append = " fleet_write_manifest;"
python fleet_write_manifest() {
    import json, os
    folder = d.getVar("IMGDEPLOYDIR")
    name = d.getVar("IMAGE_LINK_NAME")
    with open(os.path.join(d.getVar("WORKDIR"), "verity.conf")) as file:
        verity = dict(line.strip().split("=", 1) for line in file)
    root = name + ".erofs-lz4.verity"
    boot = name + ".fleetboot"
    manifest = {
        "version": d.getVar("FLEET_VERSION"),
        "compatible": d.getVar("FLEET_COMPATIBLE"),
        "rootfs": root,
        "rootfsSha256": bb.utils.sha256_file(os.path.join(folder, root)),
        "rootHash": verity["ROOT_HASH"],
        "bootImage": boot,
        "bootImageSha256": bb.utils.sha256_file(os.path.join(folder, boot)),
    }
    with open(os.path.join(folder, name + ".manifest.json"), "w") as file:
        json.dump(manifest, file, indent=2)
        file.write("\n")
}

# --- the disk

# What lies on the boot partition is made by these.
FLEET_BOOT_RECIPES = "${@'fleet-boot-script u-boot' if d.getVar('FLEET_BOOTLOADER') == 'uboot' else 'fleet-grub'}"
do_image_wic[depends] += "${@' '.join(name + ':do_deploy' for name in d.getVar('FLEET_BOOT_RECIPES').split())}"
IMAGE_BOOT_FILES:x86-64 = "\
    fleet-grub/bootx64.efi;EFI/BOOT/bootx64.efi \
    fleet-grub/grub.cfg;EFI/fleet/grub.cfg \
    fleet-grub/grubenv;EFI/fleet/grubenv \
    fleet-grub/grubenv;EFI/fleet/grubenv.bak \
"
IMAGE_BOOT_FILES:qemuarm64 = "boot.scr"
# The names of types that grow and that do not: only `data` is what systemd-repart looks for.
FLEET_TYPE_ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
FLEET_TYPE_ENV = "f1ee7b00-7000-4000-8000-000000000003"
FLEET_TYPE_BOOT = "f1ee7b00-7000-4000-8000-000000000001"
FLEET_TYPE_ROOT = "f1ee7b00-7000-4000-8000-000000000002"
FLEET_TYPE_DATA = "0fc63daf-8483-4772-8e79-3d69d8477de4"
# Room to grow to 2 TiB while mounted, and the sizes of the grown file system.
FLEET_DATA_MKFS = "-m 1 -b 4096 -i 16384 -O metadata_csum,64bit -J size=8 -E lazy_itable_init=0,lazy_journal_init=0,resize=536870912"
