SUMMARY = "The initrd that every slot carries beside its kernel"
DESCRIPTION = "busybox, dmsetup and fleet-initrd. The root hash is not in here: fleet-image puts it beside."
LICENSE = "MIT | Apache-2.0"

PACKAGE_INSTALL = "fleet-initrd busybox libdevmapper"
IMAGE_FEATURES = ""
IMAGE_FSTYPES = "cpio.gz"
IMAGE_FSTYPES:remove = "tar.bz2 ext3 ext4 wic.bz2 wic.bmap"
IMAGE_LINGUAS = ""
IMAGE_NAME_SUFFIX = ""
# Nothing of what an image gets by being one.
FEATURE_INSTALL = ""
NO_RECOMMENDATIONS = "1"

inherit image

IMAGE_ROOTFS_SIZE = "8192"
IMAGE_ROOTFS_EXTRA_SPACE = "0"
# It is part of an image that has a list of its own.
IMAGE_CLASSES:remove = "sbom-cve-check"
