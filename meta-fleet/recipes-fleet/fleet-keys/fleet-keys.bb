SUMMARY = "What a device trusts"
DESCRIPTION = "The certificate that bundles are signed under, and the first key set for releases: the operator's own"
HOMEPAGE = "https://example.org/fleet"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${FLEET_SOURCE}/LICENSE;md5=b4fd7a8217da2072845f022000aa6937"

INHIBIT_DEFAULT_DEPS = "1"
S = "${UNPACKDIR}"
do_configure[noexec] = "1"
do_compile[noexec] = "1"

# Another key is another package.
FLEET_TRUSTED = "${FLEET_KEYRING} ${FLEET_KEYSET}"
do_install[file-checksums] += "${@' '.join('%s:%s' % (path, os.path.isfile(path)) for path in d.getVar('FLEET_TRUSTED').split())}"
do_install() {
    for file in ${FLEET_TRUSTED}; do
        [ -s "$file" ] || bbfatal "there is no file $file
hint: 'fleet keys init --dir DIR' makes keys, FLEET_KEYS=DIR names them"
    done
    install -D -m 0644 ${FLEET_KEYRING} ${D}${nonarch_libdir}/rauc/keyring.pem
    install -D -m 0644 ${FLEET_KEYSET} ${D}${datadir}/fleet/keyset.json
}

FILES:${PN} += "${nonarch_libdir}/rauc ${datadir}/fleet"
