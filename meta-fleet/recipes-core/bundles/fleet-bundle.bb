SUMMARY = "Fleet OS: a release as a RAUC bundle"
DESCRIPTION = "Both images of a release, signed, with an index of their blocks: a device fetches what changed."
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"

inherit bundle

RAUC_BUNDLE_COMPATIBLE = "${FLEET_COMPATIBLE}"
RAUC_BUNDLE_VERSION = "${FLEET_VERSION}"
RAUC_BUNDLE_DESCRIPTION = "Fleet OS ${FLEET_VERSION}"
# The date of a build would make every bundle another one.
RAUC_BUNDLE_BUILD = "${FLEET_VERSION}"
# The only format that devices take: a plain bundle's signature does not cover all of a large one.
RAUC_BUNDLE_FORMAT = "verity"

# The names are those of the slots in system.conf.
RAUC_BUNDLE_SLOTS = "rootfs boot"
RAUC_SLOT_rootfs = "fleet-image"
RAUC_SLOT_rootfs[fstype] = "erofs-lz4.verity"
RAUC_SLOT_rootfs[rename] = "rootfs.img"
RAUC_SLOT_rootfs[adaptive] = "block-hash-index"
RAUC_SLOT_boot = "fleet-image"
RAUC_SLOT_boot[fstype] = "fleetboot"
RAUC_SLOT_boot[rename] = "boot.img"
RAUC_SLOT_boot[adaptive] = "block-hash-index"

RAUC_CERT_FILE = "${FLEET_BUNDLE_CERTIFICATE}"
RAUC_KEY_FILE = "${FLEET_BUNDLE_KEY}"
RAUC_KEYRING_FILE = "${FLEET_KEYRING}"
BUNDLE_ARGS = "--keyring=${FLEET_KEYRING} --mksquashfs-args='-comp lz4'"

# A token's URI is no file to take a checksum of.
do_bundle[file-checksums] = "${@'' if d.getVar('FLEET_BUNDLE_KEY').startswith('pkcs11:') else d.getVar('FLEET_BUNDLE_KEY') + ':False'}"
do_bundle[file-checksums] += "${FLEET_BUNDLE_CERTIFICATE}:False"
do_bundle[network] = "${@'1' if d.getVar('FLEET_BUNDLE_KEY').startswith('pkcs11:') else '0'}"
do_bundle[prefuncs] += "fleet_check_bundle_keys"

python fleet_check_bundle_keys() {
    import os
    for name in ("FLEET_BUNDLE_CERTIFICATE", "FLEET_BUNDLE_KEY", "FLEET_KEYRING"):
        value = d.getVar(name)
        if not value.startswith("pkcs11:") and not os.path.isfile(value):
            bb.fatal("%s: there is no file %s\nhint: `fleet keys init --dir DIR` makes keys, FLEET_KEYS=DIR names them"
                % (name, value))
}
