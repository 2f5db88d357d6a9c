-- What is wrong in the fleet, and what it is decided by.

-- Of each device, the few figures that alerts are decided by: narrow, since all of them are looked at again and again.
CREATE TABLE device_vitals (
    tenant_id       TEXT NOT NULL,
    device_id       TEXT NOT NULL,
    -- The last heartbeat; before the first one, the enrolment.
    heard_ms        INTEGER NOT NULL,
    online_for_ms   INTEGER NOT NULL DEFAULT 0,
    disk_free_bytes INTEGER,
    temperature_mc  INTEGER,
    under_voltage   INTEGER NOT NULL DEFAULT 0,
    -- In words; null while no update has failed.
    update_failure  TEXT,
    -- The player's last heartbeat; null of a device that has shown none.
    player_ms       INTEGER,
    error_screen    INTEGER NOT NULL DEFAULT 0,
    -- Until when the certificate that was issued last is good; null of one from before this was kept.
    certificate_ms  INTEGER,
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
) STRICT;
INSERT INTO device_vitals (tenant_id, device_id, heard_ms, online_for_ms)
SELECT tenant_id, device_id, coalesce(last_seen_ms, enrolled_ms), online_for_ms FROM devices;

-- ERROR, or DOWNLOAD of a download that failed; null of everything else.
ALTER TABLE events ADD COLUMN trouble TEXT;
CREATE INDEX events_of_trouble ON events (tenant_id, received_ms, device_id, trouble) WHERE trouble IS NOT NULL;

CREATE TABLE alert_rules (
    tenant_id  TEXT NOT NULL PRIMARY KEY REFERENCES tenants (tenant_id),
    version    INTEGER NOT NULL,
    rules      TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;

-- What is wrong, but not for long enough yet.
CREATE TABLE alert_watches (
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id),
    kind      TEXT NOT NULL,
    subject   TEXT NOT NULL,
    since_ms  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, kind, subject)
) STRICT;

CREATE TABLE alerts (
    position        INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id       TEXT NOT NULL REFERENCES tenants (tenant_id),
    alert_id        TEXT NOT NULL,
    kind            TEXT NOT NULL,
    -- The id of a device or a rollout.
    subject         TEXT NOT NULL,
    detail          TEXT NOT NULL,
    since_ms        INTEGER NOT NULL,
    opened_ms       INTEGER NOT NULL,
    -- Since when it has been over, not for long enough yet.
    over_ms         INTEGER,
    acknowledged_ms INTEGER,
    acknowledged_by TEXT,
    note            TEXT,
    resolved_ms     INTEGER,
    UNIQUE (tenant_id, alert_id)
) STRICT;
-- Of one kind there is never more than one for a subject that is not over.
CREATE UNIQUE INDEX alerts_unresolved ON alerts (tenant_id, kind, subject) WHERE resolved_ms IS NULL;
CREATE INDEX alerts_by_subject ON alerts (tenant_id, subject, position);
CREATE INDEX alerts_in_order ON alerts (tenant_id, position);
