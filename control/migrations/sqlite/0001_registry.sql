-- Every table is tenant-scoped; instants are milliseconds since 1970; documents are JSON text.

CREATE TABLE tenants (
    tenant_id  TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE operator_tokens (
    tenant_id    TEXT NOT NULL REFERENCES tenants (tenant_id),
    name         TEXT NOT NULL,
    token_sha256 TEXT NOT NULL UNIQUE,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT;

CREATE TABLE enrolment_tokens (
    tenant_id    TEXT NOT NULL REFERENCES tenants (tenant_id),
    token_id     TEXT NOT NULL,
    token_sha256 TEXT NOT NULL UNIQUE,
    expires_ms   INTEGER NOT NULL,
    max_uses     INTEGER NOT NULL,
    used         INTEGER NOT NULL DEFAULT 0,
    device_name  TEXT,
    role         TEXT,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, token_id)
) STRICT;

CREATE TABLE devices (
    tenant_id         TEXT NOT NULL REFERENCES tenants (tenant_id),
    device_id         TEXT NOT NULL UNIQUE,
    name              TEXT NOT NULL,
    compatible        TEXT NOT NULL,
    hardware          TEXT NOT NULL,
    serial_number     TEXT,
    role              TEXT,
    token_sha256      TEXT NOT NULL,
    enrolled_ms       INTEGER NOT NULL,
    revoked_ms        INTEGER,
    last_seen_ms      INTEGER,
    version           TEXT NOT NULL,
    root_hash         TEXT,
    heartbeat         TEXT,
    history_ms        INTEGER NOT NULL DEFAULT 0,
    update_state      TEXT,
    report            TEXT,
    report_sequence   INTEGER NOT NULL DEFAULT 0,
    report_state      TEXT,
    report_version    TEXT,
    report_rollout    TEXT,
    report_ms         INTEGER,
    report_detail     TEXT,
    -- Begun means: installing, reboot pending or on trial, for `report_version`.
    begun_ms          INTEGER,
    command_sequence  INTEGER NOT NULL DEFAULT 0,
    target_generation INTEGER NOT NULL DEFAULT 0,
    target_digest     TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, device_id)
) STRICT;
CREATE INDEX devices_by_version ON devices (tenant_id, version);

CREATE TABLE heartbeats (
    tenant_id   TEXT NOT NULL,
    device_id   TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    heartbeat   TEXT NOT NULL,
    PRIMARY KEY (tenant_id, device_id, received_ms),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE commands (
    tenant_id    TEXT NOT NULL,
    command_id   TEXT NOT NULL,
    device_id    TEXT NOT NULL,
    sequence     INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    delivered_ms INTEGER,
    cancelled_ms INTEGER,
    result       TEXT,
    PRIMARY KEY (tenant_id, command_id),
    UNIQUE (tenant_id, device_id, sequence),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
) STRICT;

CREATE TABLE events (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id   TEXT NOT NULL,
    device_id   TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    event       TEXT NOT NULL,
    UNIQUE (tenant_id, device_id, event_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
) STRICT;
CREATE INDEX events_by_age ON events (tenant_id, received_ms);

CREATE TABLE support_bundles (
    tenant_id   TEXT NOT NULL,
    device_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    size_bytes  INTEGER NOT NULL,
    sha256      TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, device_id, name),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
) STRICT;
