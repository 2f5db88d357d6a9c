-- Codes that screens show until somebody claims them. A code is nobody's until then.

CREATE TABLE pairings (
    pairing_code  TEXT PRIMARY KEY,
    -- Of the secret with which the device enrols once it was claimed.
    token_sha256  TEXT NOT NULL UNIQUE,
    -- Where it was asked for.
    address       TEXT NOT NULL,
    hardware      TEXT NOT NULL,
    serial_number TEXT,
    created_ms    INTEGER NOT NULL,
    expires_ms    INTEGER NOT NULL,
    -- Whose the file was that the device has: nobody else may claim it.
    for_tenant    TEXT,
    tenant_id     TEXT REFERENCES tenants (tenant_id)
) STRICT;
CREATE INDEX pairings_by_end ON pairings (expires_ms);

-- Where the devices that use it are to be; null: where they are, or the first venue.
ALTER TABLE enrolment_tokens ADD COLUMN venue_id TEXT;
