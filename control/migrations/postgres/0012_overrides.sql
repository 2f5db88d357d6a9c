-- What goes before the schedule of a venue for a while. Rows stay until long after their end: they tell who did what.

CREATE TABLE overrides (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    TEXT COLLATE "C" NOT NULL,
    venue_id     TEXT COLLATE "C" NOT NULL,
    override_id  TEXT COLLATE "C" NOT NULL,
    -- Either of the two.
    playlist_id  TEXT COLLATE "C",
    message      TEXT COLLATE "C",
    -- JSON array; empty: every screen of the venue.
    targets      TEXT COLLATE "C" NOT NULL,
    emergency    BIGINT NOT NULL,
    note         TEXT COLLATE "C",
    created_ms   BIGINT NOT NULL,
    created_by   TEXT COLLATE "C" NOT NULL,
    ends_ms      BIGINT NOT NULL,
    cancelled_ms BIGINT,
    cancelled_by TEXT COLLATE "C",
    UNIQUE (tenant_id, override_id),
    FOREIGN KEY (tenant_id, venue_id) REFERENCES venues (tenant_id, venue_id)
);
CREATE INDEX overrides_in_force ON overrides (tenant_id, venue_id, ends_ms) WHERE cancelled_ms IS NULL;

-- A message as screens get it, upright and lying; made once, so that every screen gets the same bytes.
CREATE TABLE override_pictures (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    asset_id    TEXT COLLATE "C" NOT NULL,
    override_id TEXT COLLATE "C" NOT NULL,
    width_px    BIGINT NOT NULL,
    height_px   BIGINT NOT NULL,
    sha256      TEXT COLLATE "C" NOT NULL,
    png         BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, asset_id),
    FOREIGN KEY (tenant_id, override_id) REFERENCES overrides (tenant_id, override_id) ON DELETE CASCADE
);
CREATE INDEX override_pictures_by_override ON override_pictures (tenant_id, override_id);
