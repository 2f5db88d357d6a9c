SUMMARY = "Fleet OS: a release for a device"
DESCRIPTION = "The read-only root with dm-verity, the boot image of a slot, and a disk to be flashed."
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"

IMAGE_INSTALL = "packagegroup-fleet"
IMAGE_INSTALL:append:fleet-development = " fleet-development-shell"

inherit core-image fleet_image

# Nobody logs in to a product; safe mode starts an sshd for an hour, with the operator's key.
IMAGE_FEATURES = "read-only-rootfs"
# nooelint: oelint.var.badimagefeature.allow-empty-password,oelint.var.badimagefeature.allow-root-login,oelint.var.badimagefeature.empty-root-password
IMAGE_FEATURES:append:fleet-development = " allow-empty-password allow-root-login empty-root-password"

# rauc-mark-good would commit every boot: here the agent commits, when the health gate has held.
# The others bring settings and mounts that fleet-base has in its own way.
BAD_RECOMMENDATIONS += "rauc-mark-good systemd-conf udev-hwdb volatile-binds"
PACKAGE_EXCLUDE += "rauc-mark-good"

# What was forgotten in a production image is found by its build, not by a stranger.
IMAGE_QA_COMMANDS += "fleet_image_qa"
python fleet_image_qa() {
    import os
    root = d.getVar("IMAGE_ROOTFS")
    faults = []
    for path in ("usr/bin/fleet-agent", "usr/bin/fleet-player", "usr/lib/rauc/system.conf", "usr/lib/rauc/keyring.pem",
                 "usr/lib/systemd/systemd", "usr/bin/rauc", "usr/sbin/e2fsck", "usr/sbin/sshd"):
        if not os.path.lexists(os.path.join(root, path)):
            faults.append("%s is not there" % path)
    if os.path.lexists(os.path.join(root, "usr/lib/systemd/system/rauc-mark-good.service")):
        faults.append("rauc-mark-good.service would commit every boot")
    if d.getVar("FLEET_VARIANT") == "production":
        with open(os.path.join(root, "etc/shadow")) as shadow:
            open_doors = [line.split(":")[0] for line in shadow if line.split(":")[1] == ""]
        faults += ["%s has an empty password" % name for name in open_doors]
        if os.path.lexists(os.path.join(root, "usr/lib/systemd/system/fleet-development-shell.service")):
            faults.append("the development shell is installed")
    for fault in faults:
        oe.qa.handle_error("fleet-image", fault, d)
}
ERROR_QA:append = " fleet-image"
