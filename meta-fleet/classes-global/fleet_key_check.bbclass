# Ends a production build before it has begun when its keys are absent, or are for development.
#
# Test keys are known to everybody who has seen a test: an image that trusts one can be taken over by anyone.

def fleet_key_faults(d):
    """What is wrong with the configured keys, a sentence each."""
    import base64, os, re

    def certificate_text(path):
        """The bytes of all certificates of a PEM file: names are plain text in DER."""
        with open(path, encoding="ascii", errors="replace") as file:
            pem = file.read()
        blocks = re.findall("-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", pem, re.DOTALL)
        return b"".join(base64.b64decode(block) for block in blocks)

    faults = []
    mark = d.getVar("FLEET_TEST_KEY_MARK").encode()
    for name in ("FLEET_KEYRING", "FLEET_KEYSET", "FLEET_BUNDLE_CERTIFICATE", "FLEET_BUNDLE_KEY"):
        value = d.getVar(name)
        if value.startswith("pkcs11:"):
            continue
        if not os.path.isfile(value):
            faults.append("%s: there is no file %s" % (name, value))
        elif value.endswith(".json") or name == "FLEET_BUNDLE_KEY":
            continue
        elif mark in certificate_text(value):
            faults.append("%s: %s is a test key (\"%s\" in its name)" % (name, value, mark.decode()))
        elif not certificate_text(value):
            faults.append("%s: %s holds no certificate" % (name, value))
    source = os.path.realpath(d.getVar("FLEET_SOURCE"))
    key = d.getVar("FLEET_BUNDLE_KEY")
    if not key.startswith("pkcs11:") and os.path.realpath(key).startswith(source + os.sep):
        faults.append("FLEET_BUNDLE_KEY: %s lies in the source tree" % key)
    return faults

python fleet_check_keys() {
    if d.getVar("FLEET_VARIANT") != "production":
        return
    faults = fleet_key_faults(d)
    if faults:
        bb.fatal("A production image needs keys of its own:\n  " + "\n  ".join(faults)
            + "\nhint: `fleet keys init --dir DIR` makes them, FLEET_KEYS=DIR names them; "
            + "docs/yocto.md tells of the ceremony. yocto/production.yml is what asks for this.")
}
addhandler fleet_check_keys
fleet_check_keys[eventmask] = "bb.event.ConfigParsed"
