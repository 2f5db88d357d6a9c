# Builds one program of the workspace that this layer is part of, offline, from the crates that Cargo.lock names.
#
# The source is fetched from the checkout itself, so that what is built is what is checked out. All of the workspace's
# members are taken, because cargo reads every manifest; what it builds is the one package.

LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "\
    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57 \
    file://LICENSE-MIT;md5=822c780e55bc26f858ce2d9901063214 \
"

PV = "${FLEET_VERSION}"

inherit cargo

require recipes-fleet/fleet_crates.inc

# nooelint: oelint.vars.fileextrapaths,oelint.vars.outofcontext
FILESEXTRAPATHS:prepend := "${FLEET_SOURCE}:"
SRC_URI += "\
    file://Cargo.lock;subdir=fleet \
    file://Cargo.toml;subdir=fleet \
    file://LICENSE-APACHE;subdir=fleet \
    file://LICENSE-MIT;subdir=fleet \
    ${@' '.join('file://%s;subdir=fleet' % member for member in d.getVar('FLEET_MEMBERS').split())} \
"
S = "${UNPACKDIR}/fleet"

CARGO_BUILD_FLAGS:append = " --package ${BPN}"

# The symbols go into the -dbg package, for reading what a device reports.
export CARGO_PROFILE_RELEASE_STRIP = "none"
export CARGO_PROFILE_RELEASE_DEBUG = "line-tables-only"
