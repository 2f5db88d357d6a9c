-- All that SQLite's migrations up to 0007 make: a table that changes in one database changes in the other under the same
-- number. As there, instants are milliseconds since 1970, documents are JSON text, and flags are 0 or 1. Text is in
-- the order of its bytes, as SQLite has it and as cursors of lists expect it.

CREATE TABLE tenants (
    tenant_id  TEXT COLLATE "C" PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE operator_tokens (
    tenant_id    TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    name         TEXT COLLATE "C" NOT NULL,
    token_sha256 TEXT COLLATE "C" NOT NULL UNIQUE,
    created_ms   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE enrolment_tokens (
    tenant_id    TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    token_id     TEXT COLLATE "C" NOT NULL,
    token_sha256 TEXT COLLATE "C" NOT NULL UNIQUE,
    expires_ms   BIGINT NOT NULL,
    max_uses     BIGINT NOT NULL,
    used         BIGINT NOT NULL DEFAULT 0,
    device_name  TEXT COLLATE "C",
    role         TEXT COLLATE "C",
    created_ms   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, token_id)
);

CREATE TABLE devices (
    tenant_id         TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    device_id         TEXT COLLATE "C" NOT NULL UNIQUE,
    name              TEXT COLLATE "C" NOT NULL,
    compatible        TEXT COLLATE "C" NOT NULL,
    hardware          TEXT COLLATE "C" NOT NULL,
    serial_number     TEXT COLLATE "C",
    role              TEXT COLLATE "C",
    token_sha256      TEXT COLLATE "C" NOT NULL,
    enrolled_ms       BIGINT NOT NULL,
    revoked_ms        BIGINT,
    last_seen_ms      BIGINT,
    version           TEXT COLLATE "C" NOT NULL,
    root_hash         TEXT COLLATE "C",
    heartbeat         TEXT COLLATE "C",
    history_ms        BIGINT NOT NULL DEFAULT 0,
    update_state      TEXT COLLATE "C",
    report            TEXT COLLATE "C",
    report_sequence   BIGINT NOT NULL DEFAULT 0,
    report_state      TEXT COLLATE "C",
    report_version    TEXT COLLATE "C",
    report_rollout    TEXT COLLATE "C",
    report_ms         BIGINT,
    report_detail     TEXT COLLATE "C",
    -- Begun means: installing, reboot pending or on trial, for `report_version`.
    begun_ms          BIGINT,
    command_sequence  BIGINT NOT NULL DEFAULT 0,
    target_generation BIGINT NOT NULL DEFAULT 0,
    target_digest     TEXT COLLATE "C" NOT NULL DEFAULT '',
    online_for_ms     BIGINT NOT NULL DEFAULT 0,
    venue_id          TEXT COLLATE "C" NOT NULL DEFAULT 'ven_default',
    orientation       TEXT COLLATE "C" NOT NULL DEFAULT 'LANDSCAPE',
    player            TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, device_id)
);
CREATE INDEX devices_by_version ON devices (tenant_id, version);
CREATE INDEX devices_in_venue ON devices (tenant_id, venue_id, device_id) WHERE revoked_ms IS NULL;

CREATE TABLE heartbeats (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    device_id   TEXT COLLATE "C" NOT NULL,
    received_ms BIGINT NOT NULL,
    heartbeat   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, device_id, received_ms),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);

CREATE TABLE commands (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    command_id   TEXT COLLATE "C" NOT NULL,
    device_id    TEXT COLLATE "C" NOT NULL,
    sequence     BIGINT NOT NULL,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,
    delivered_ms BIGINT,
    cancelled_ms BIGINT,
    result       TEXT COLLATE "C",
    receiver     TEXT COLLATE "C" NOT NULL DEFAULT 'agent',
    PRIMARY KEY (tenant_id, command_id),
    UNIQUE (tenant_id, device_id, sequence),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);

CREATE TABLE events (
    position    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   TEXT COLLATE "C" NOT NULL,
    device_id   TEXT COLLATE "C" NOT NULL,
    event_id    TEXT COLLATE "C" NOT NULL,
    received_ms BIGINT NOT NULL,
    event       TEXT COLLATE "C" NOT NULL,
    UNIQUE (tenant_id, device_id, event_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);
CREATE INDEX events_by_age ON events (tenant_id, received_ms);

CREATE TABLE support_bundles (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    device_id   TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    size_bytes  BIGINT NOT NULL,
    sha256      TEXT COLLATE "C" NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, device_id, name),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);

CREATE TABLE bundles (
    tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    sha256      TEXT COLLATE "C" NOT NULL,
    size_bytes  BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);

CREATE TABLE releases (
    tenant_id     TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    version       TEXT COLLATE "C" NOT NULL,
    compatible    TEXT COLLATE "C" NOT NULL,
    root_hash     TEXT COLLATE "C" NOT NULL,
    bundle_sha256 TEXT COLLATE "C" NOT NULL,
    envelope      TEXT COLLATE "C" NOT NULL,
    status        TEXT COLLATE "C" NOT NULL,
    published_ms  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

CREATE TABLE key_sets (
    tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    version     BIGINT NOT NULL,
    envelope    TEXT COLLATE "C" NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

-- One counter for all scopes, so that a device's merged document has a version that only grows.
CREATE TABLE config_documents (
    tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    version    BIGINT NOT NULL,
    scope      TEXT COLLATE "C" NOT NULL,
    document   TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, version)
);
CREATE INDEX config_by_scope ON config_documents (tenant_id, scope, version);

CREATE TABLE rollouts (
    tenant_id           TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    rollout_id          TEXT COLLATE "C" NOT NULL,
    -- Newer rollouts have greater numbers; the newest one wins for each device.
    number              BIGINT NOT NULL,
    version             TEXT COLLATE "C" NOT NULL,
    phases              TEXT COLLATE "C" NOT NULL,
    failure_threshold   BIGINT NOT NULL,
    rollback_on_failure BIGINT NOT NULL,
    deadline_s          BIGINT NOT NULL,
    status              TEXT COLLATE "C" NOT NULL,
    current_phase       BIGINT NOT NULL,
    phase_done_ms       BIGINT,
    -- Counts up with every change; a plan made for an older one is refused.
    generation          BIGINT NOT NULL,
    created_ms          BIGINT NOT NULL,
    finished_ms         BIGINT,
    summary             TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, rollout_id),
    UNIQUE (tenant_id, number)
);

CREATE TABLE rollout_members (
    tenant_id        TEXT COLLATE "C" NOT NULL,
    rollout_id       TEXT COLLATE "C" NOT NULL,
    device_id        TEXT COLLATE "C" NOT NULL,
    number           BIGINT NOT NULL,
    phase            BIGINT NOT NULL,
    status           TEXT COLLATE "C" NOT NULL,
    -- A newer rollout took the device over; its outcome here still counts, nothing else.
    superseded       BIGINT NOT NULL DEFAULT 0,
    offered_ms       BIGINT,
    previous_version TEXT COLLATE "C",
    attempt          BIGINT NOT NULL DEFAULT 1,
    detail           TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, rollout_id, device_id),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, rollout_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);
CREATE INDEX members_by_device ON rollout_members (tenant_id, device_id, number);
-- One entry for each device, however many rollouts there have been.
CREATE INDEX members_in_force ON rollout_members (tenant_id, rollout_id, status, previous_version)
    WHERE superseded = 0;

-- What is shown where. Drafts are one document each, since they are edited as a whole under their version; what was
-- published never changes.

CREATE TABLE venues (
    tenant_id              TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    venue_id               TEXT COLLATE "C" NOT NULL,
    name                   TEXT COLLATE "C" NOT NULL,
    timezone               TEXT COLLATE "C" NOT NULL,
    fallback_playlist_id   TEXT COLLATE "C",
    version                BIGINT NOT NULL DEFAULT 1,
    -- Counts up with whatever may change what a screen here shows.
    manifest_epoch         BIGINT NOT NULL DEFAULT 1,
    slots                  TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    schedule_draft_version BIGINT NOT NULL DEFAULT 1,
    schedule_published     BIGINT,
    created_ms             BIGINT NOT NULL,
    updated_ms             BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, venue_id)
);

CREATE TABLE schedules_published (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    venue_id     TEXT COLLATE "C" NOT NULL,
    version      BIGINT NOT NULL,
    slots        TEXT COLLATE "C" NOT NULL,
    published_ms BIGINT NOT NULL,
    published_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, venue_id, version),
    FOREIGN KEY (tenant_id, venue_id) REFERENCES venues (tenant_id, venue_id)
);

CREATE TABLE device_groups (
    tenant_id TEXT COLLATE "C" NOT NULL,
    venue_id  TEXT COLLATE "C" NOT NULL,
    group_id  TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, venue_id, group_id),
    FOREIGN KEY (tenant_id, venue_id) REFERENCES venues (tenant_id, venue_id)
);
CREATE TABLE device_group_members (
    tenant_id TEXT COLLATE "C" NOT NULL,
    venue_id  TEXT COLLATE "C" NOT NULL,
    group_id  TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, device_id, group_id),
    FOREIGN KEY (tenant_id, venue_id, group_id)
        REFERENCES device_groups (tenant_id, venue_id, group_id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);

-- Who is in a group.
CREATE INDEX members_by_group ON device_group_members (tenant_id, venue_id, group_id, device_id);

CREATE TABLE assets (
    tenant_id        TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    asset_id         TEXT COLLATE "C" NOT NULL,
    upload_id        TEXT COLLATE "C" NOT NULL,
    display_name     TEXT COLLATE "C" NOT NULL,
    file_name        TEXT COLLATE "C" NOT NULL,
    size_bytes       BIGINT NOT NULL,
    sha256           TEXT COLLATE "C" NOT NULL,
    status           TEXT COLLATE "C" NOT NULL,
    kind             TEXT COLLATE "C",
    width_px         BIGINT,
    height_px        BIGINT,
    duration_ms      BIGINT,
    has_thumbnail    BIGINT NOT NULL DEFAULT 0,
    failure          TEXT COLLATE "C",
    created_ms       BIGINT NOT NULL,
    -- When it got into its present status.
    status_ms        BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, asset_id),
    UNIQUE (tenant_id, upload_id)
);
CREATE INDEX assets_by_status ON assets (tenant_id, status, status_ms);
CREATE INDEX assets_by_file ON assets (tenant_id, sha256);

CREATE TABLE playlists (
    tenant_id     TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    playlist_id   TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    items         TEXT COLLATE "C" NOT NULL,
    draft_version BIGINT NOT NULL DEFAULT 1,
    published     BIGINT,
    created_ms    BIGINT NOT NULL,
    updated_ms    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, playlist_id)
);

CREATE TABLE playlists_published (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    playlist_id  TEXT COLLATE "C" NOT NULL,
    version      BIGINT NOT NULL,
    items        TEXT COLLATE "C" NOT NULL,
    published_ms BIGINT NOT NULL,
    published_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, playlist_id, version),
    FOREIGN KEY (tenant_id, playlist_id) REFERENCES playlists (tenant_id, playlist_id)
        ON DELETE CASCADE
);

-- What a player sent as one; one that comes again counts for nothing.
CREATE TABLE player_batches (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    device_id   TEXT COLLATE "C" NOT NULL,
    batch_id    TEXT COLLATE "C" NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, device_id, batch_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);

CREATE TABLE plays (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    device_id   TEXT COLLATE "C" NOT NULL,
    venue_id    TEXT COLLATE "C" NOT NULL,
    asset_id    TEXT COLLATE "C" NOT NULL,
    playlist_id TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    started_ms  BIGINT NOT NULL,
    -- By a clock that nobody can set.
    duration_ms BIGINT NOT NULL,
    outcome     TEXT COLLATE "C" NOT NULL,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);
CREATE INDEX plays_by_time ON plays (tenant_id, started_ms);

-- Background work that has to be done once in a while by one control plane of several: when it was done last.
CREATE TABLE jobs (
    job     TEXT COLLATE "C" PRIMARY KEY,
    done_ms BIGINT NOT NULL
);
