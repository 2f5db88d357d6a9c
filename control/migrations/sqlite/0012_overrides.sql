-- What goes before the schedule of a venue for a while. Rows stay until long after their end: they tell who did what.

CREATE TABLE overrides (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id    TEXT NOT NULL,
    venue_id     TEXT NOT NULL,
    override_id  TEXT NOT NULL,
    -- Either of the two.
    playlist_id  TEXT,
    message      TEXT,
    -- JSON array; empty: every screen of the venue.
    targets      TEXT NOT NULL,
    emergency    INTEGER NOT NULL,
    note         TEXT,
    created_ms   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    ends_ms      INTEGER NOT NULL,
    cancelled_ms INTEGER,
    cancelled_by TEXT,
    UNIQUE (tenant_id, override_id),
    FOREIGN KEY (tenant_id, venue_id) REFERENCES venues (tenant_id, venue_id)
) STRICT;
CREATE INDEX overrides_in_force ON overrides (tenant_id, venue_id, ends_ms) WHERE cancelled_ms IS NULL;

-- A message as screens get it, upright and lying; made once, so that every screen gets the same bytes.
CREATE TABLE override_pictures (
    tenant_id   TEXT NOT NULL,
    asset_id    TEXT NOT NULL,
    override_id TEXT NOT NULL,
    width_px    INTEGER NOT NULL,
    height_px   INTEGER NOT NULL,
    sha256      TEXT NOT NULL,
    png         BLOB NOT NULL,
    PRIMARY KEY (tenant_id, asset_id),
    FOREIGN KEY (tenant_id, override_id) REFERENCES overrides (tenant_id, override_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX override_pictures_by_override ON override_pictures (tenant_id, override_id);
