CREATE TABLE bundles (
    tenant_id   TEXT NOT NULL REFERENCES tenants (tenant_id),
    sha256      TEXT NOT NULL,
    size_bytes  INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
) STRICT;

CREATE TABLE releases (
    tenant_id     TEXT NOT NULL REFERENCES tenants (tenant_id),
    version       TEXT NOT NULL,
    compatible    TEXT NOT NULL,
    root_hash     TEXT NOT NULL,
    bundle_sha256 TEXT NOT NULL,
    envelope      TEXT NOT NULL,
    status        TEXT NOT NULL,
    published_ms  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, version)
) STRICT;

CREATE TABLE key_sets (
    tenant_id   TEXT NOT NULL REFERENCES tenants (tenant_id),
    version     INTEGER NOT NULL,
    envelope    TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, version)
) STRICT;

-- One counter for all scopes, so that a device's merged document has a version that only grows.
CREATE TABLE config_documents (
    tenant_id  TEXT NOT NULL REFERENCES tenants (tenant_id),
    version    INTEGER NOT NULL,
    scope      TEXT NOT NULL,
    document   TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, version)
) STRICT;
CREATE INDEX config_by_scope ON config_documents (tenant_id, scope, version);

CREATE TABLE rollouts (
    tenant_id           TEXT NOT NULL REFERENCES tenants (tenant_id),
    rollout_id          TEXT NOT NULL,
    -- Newer rollouts have greater numbers; the newest one wins for each device.
    number              INTEGER NOT NULL,
    version             TEXT NOT NULL,
    phases              TEXT NOT NULL,
    failure_threshold   INTEGER NOT NULL,
    rollback_on_failure INTEGER NOT NULL,
    deadline_s          INTEGER NOT NULL,
    status              TEXT NOT NULL,
    current_phase       INTEGER NOT NULL,
    phase_done_ms       INTEGER,
    -- Counts up with every change; a plan made for an older one is refused.
    generation          INTEGER NOT NULL,
    created_ms          INTEGER NOT NULL,
    finished_ms         INTEGER,
    summary             TEXT NOT NULL,
    PRIMARY KEY (tenant_id, rollout_id),
    UNIQUE (tenant_id, number)
) STRICT;

CREATE TABLE rollout_members (
    tenant_id        TEXT NOT NULL,
    rollout_id       TEXT NOT NULL,
    device_id        TEXT NOT NULL,
    number           INTEGER NOT NULL,
    phase            INTEGER NOT NULL,
    status           TEXT NOT NULL,
    -- A newer rollout took the device over; its outcome here still counts, nothing else.
    superseded       INTEGER NOT NULL DEFAULT 0,
    offered_ms       INTEGER,
    previous_version TEXT,
    attempt          INTEGER NOT NULL DEFAULT 1,
    detail           TEXT,
    PRIMARY KEY (tenant_id, rollout_id, device_id),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, rollout_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
) STRICT;
CREATE INDEX members_by_device ON rollout_members (tenant_id, device_id, number);
