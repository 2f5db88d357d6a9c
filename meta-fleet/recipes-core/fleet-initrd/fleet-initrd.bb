SUMMARY = "Opens the root of a slot through dm-verity"
DESCRIPTION = "The init of the initrd. The kernel has built in what it needs, so no module is loaded here."
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${FLEET_SOURCE}/LICENSE;md5=b4fd7a8217da2072845f022000aa6937"

SRC_URI = "file://initrd/init"

S = "${UNPACKDIR}/initrd"
INHIBIT_DEFAULT_DEPS = "1"
do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -D -m 0755 ${S}/init ${D}/init
    for folder in dev mnt modules proc run sys sysroot tmp; do
        install -d ${D}/$folder
    done
    # One name that is no module: with each line the init looks for the watchdog, and arms it.
    echo built-in >${D}/modules/order
    # Its PATH is /bin alone.
    install -d ${D}${bindir}
    ln -s ../sbin/dmsetup ${D}${bindir}/dmsetup
}

FILES:${PN} += "/"
# Mount points are what it is made of.
# nooelint: oelint.vars.insaneskip
INSANE_SKIP:${PN} += "empty-dirs"
RDEPENDS:${PN} = "busybox libdevmapper"
