-- Codes that screens show until somebody claims them. A code is nobody's until then.

CREATE TABLE pairings (
    pairing_code  TEXT COLLATE "C" PRIMARY KEY,
    -- Of the secret with which the device enrols once it was claimed.
    token_sha256  TEXT COLLATE "C" NOT NULL UNIQUE,
    -- Where it was asked for.
    address       TEXT COLLATE "C" NOT NULL,
    hardware      TEXT COLLATE "C" NOT NULL,
    serial_number TEXT COLLATE "C",
    created_ms    BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL,
    -- Whose the file was that the device has: nobody else may claim it.
    for_tenant    TEXT COLLATE "C",
    tenant_id     TEXT COLLATE "C" REFERENCES tenants (tenant_id)
);
CREATE INDEX pairings_by_end ON pairings (expires_ms);

-- Where the devices that use it are to be; null: where they are, or the first venue.
ALTER TABLE enrolment_tokens ADD COLUMN venue_id TEXT COLLATE "C";
