-- What is shown where. Drafts are one document each, since they are edited as a whole under their version; what was
-- published never changes.

CREATE TABLE venues (
    tenant_id              TEXT NOT NULL REFERENCES tenants (tenant_id),
    venue_id               TEXT NOT NULL,
    name                   TEXT NOT NULL,
    timezone               TEXT NOT NULL,
    fallback_playlist_id   TEXT,
    version                INTEGER NOT NULL DEFAULT 1,
    -- Counts up with whatever may change what a screen here shows.
    manifest_epoch         INTEGER NOT NULL DEFAULT 1,
    slots                  TEXT NOT NULL DEFAULT '[]',
    schedule_draft_version INTEGER NOT NULL DEFAULT 1,
    schedule_published     INTEGER,
    created_ms             INTEGER NOT NULL,
    updated_ms             INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, venue_id)
) STRICT;
INSERT INTO venues (tenant_id, venue_id, name, timezone, created_ms, updated_ms)
    SELECT tenant_id, 'ven_default', 'Default', 'UTC', created_ms, created_ms FROM tenants;

CREATE TABLE schedules_published (
    tenant_id    TEXT NOT NULL,
    venue_id     TEXT NOT NULL,
    version      INTEGER NOT NULL,
    slots        TEXT NOT NULL,
    published_ms INTEGER NOT NULL,
    published_by TEXT NOT NULL,
    PRIMARY KEY (tenant_id, venue_id, version),
    FOREIGN KEY (tenant_id, venue_id) REFERENCES venues (tenant_id, venue_id)
) STRICT;

ALTER TABLE devices ADD COLUMN venue_id TEXT NOT NULL DEFAULT 'ven_default';
ALTER TABLE devices ADD COLUMN orientation TEXT NOT NULL DEFAULT 'LANDSCAPE';
ALTER TABLE devices ADD COLUMN player TEXT;
CREATE INDEX devices_by_venue ON devices (tenant_id, venue_id, device_id);

CREATE TABLE device_groups (
    tenant_id TEXT NOT NULL,
    venue_id  TEXT NOT NULL,
    group_id  TEXT NOT NULL,
    name      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, venue_id, group_id),
    FOREIGN KEY (tenant_id, venue_id) REFERENCES venues (tenant_id, venue_id)
) STRICT;
CREATE TABLE device_group_members (
    tenant_id TEXT NOT NULL,
    venue_id  TEXT NOT NULL,
    group_id  TEXT NOT NULL,
    device_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, device_id, group_id),
    FOREIGN KEY (tenant_id, venue_id, group_id)
        REFERENCES device_groups (tenant_id, venue_id, group_id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
) STRICT;

CREATE TABLE assets (
    tenant_id        TEXT NOT NULL REFERENCES tenants (tenant_id),
    asset_id         TEXT NOT NULL,
    upload_id        TEXT NOT NULL,
    display_name     TEXT NOT NULL,
    file_name        TEXT NOT NULL,
    size_bytes       INTEGER NOT NULL,
    sha256           TEXT NOT NULL,
    status           TEXT NOT NULL,
    kind             TEXT,
    width_px         INTEGER,
    height_px        INTEGER,
    duration_ms      INTEGER,
    has_thumbnail    INTEGER NOT NULL DEFAULT 0,
    failure          TEXT,
    created_ms       INTEGER NOT NULL,
    -- When it got into its present status.
    status_ms        INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, asset_id),
    UNIQUE (tenant_id, upload_id)
) STRICT;
CREATE INDEX assets_by_status ON assets (tenant_id, status, status_ms);
CREATE INDEX assets_by_file ON assets (tenant_id, sha256);

CREATE TABLE playlists (
    tenant_id     TEXT NOT NULL REFERENCES tenants (tenant_id),
    playlist_id   TEXT NOT NULL,
    name          TEXT NOT NULL,
    items         TEXT NOT NULL,
    draft_version INTEGER NOT NULL DEFAULT 1,
    published     INTEGER,
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, playlist_id)
) STRICT;

CREATE TABLE playlists_published (
    tenant_id    TEXT NOT NULL,
    playlist_id  TEXT NOT NULL,
    version      INTEGER NOT NULL,
    items        TEXT NOT NULL,
    published_ms INTEGER NOT NULL,
    published_by TEXT NOT NULL,
    PRIMARY KEY (tenant_id, playlist_id, version),
    FOREIGN KEY (tenant_id, playlist_id) REFERENCES playlists (tenant_id, playlist_id)
        ON DELETE CASCADE
) STRICT;

-- What a player sent as one; one that comes again counts for nothing.
CREATE TABLE player_batches (
    tenant_id   TEXT NOT NULL,
    device_id   TEXT NOT NULL,
    batch_id    TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, device_id, batch_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE plays (
    tenant_id   TEXT NOT NULL,
    device_id   TEXT NOT NULL,
    venue_id    TEXT NOT NULL,
    asset_id    TEXT NOT NULL,
    playlist_id TEXT NOT NULL,
    version     INTEGER NOT NULL,
    started_ms  INTEGER NOT NULL,
    -- By a clock that nobody can set.
    duration_ms INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
) STRICT;
CREATE INDEX plays_by_time ON plays (tenant_id, started_ms);
