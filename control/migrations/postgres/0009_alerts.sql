-- What is wrong in the fleet, and what it is decided by.

-- Of each device, the few figures that alerts are decided by: narrow, since all of them are looked at again and again.
CREATE TABLE device_vitals (
    tenant_id       TEXT COLLATE "C" NOT NULL,
    device_id       TEXT COLLATE "C" NOT NULL,
    -- The last heartbeat; before the first one, the enrolment.
    heard_ms        BIGINT NOT NULL,
    online_for_ms   BIGINT NOT NULL DEFAULT 0,
    disk_free_bytes BIGINT,
    temperature_mc  BIGINT,
    under_voltage   BIGINT NOT NULL DEFAULT 0,
    -- In words; null while no update has failed.
    update_failure  TEXT COLLATE "C",
    -- The player's last heartbeat; null of a device that has shown none.
    player_ms       BIGINT,
    error_screen    BIGINT NOT NULL DEFAULT 0,
    -- Until when the certificate that was issued last is good; null of one from before this was kept.
    certificate_ms  BIGINT,
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);
INSERT INTO device_vitals (tenant_id, device_id, heard_ms, online_for_ms)
SELECT tenant_id, device_id, coalesce(last_seen_ms, enrolled_ms), online_for_ms FROM devices;

-- ERROR, or DOWNLOAD of a download that failed; null of everything else.
ALTER TABLE events ADD COLUMN trouble TEXT COLLATE "C";
CREATE INDEX events_of_trouble ON events (tenant_id, received_ms, device_id, trouble) WHERE trouble IS NOT NULL;

CREATE TABLE alert_rules (
    tenant_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES tenants (tenant_id),
    version    BIGINT NOT NULL,
    rules      TEXT COLLATE "C" NOT NULL,
    updated_ms BIGINT NOT NULL
);

-- What is wrong, but not for long enough yet.
CREATE TABLE alert_watches (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    kind      TEXT COLLATE "C" NOT NULL,
    subject   TEXT COLLATE "C" NOT NULL,
    since_ms  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, kind, subject)
);

CREATE TABLE alerts (
    position        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    alert_id        TEXT COLLATE "C" NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL,
    -- The id of a device or a rollout.
    subject         TEXT COLLATE "C" NOT NULL,
    detail          TEXT COLLATE "C" NOT NULL,
    since_ms        BIGINT NOT NULL,
    opened_ms       BIGINT NOT NULL,
    -- Since when it has been over, not for long enough yet.
    over_ms         BIGINT,
    acknowledged_ms BIGINT,
    acknowledged_by TEXT COLLATE "C",
    note            TEXT COLLATE "C",
    resolved_ms     BIGINT,
    UNIQUE (tenant_id, alert_id)
);
-- Of one kind there is never more than one for a subject that is not over.
CREATE UNIQUE INDEX alerts_unresolved ON alerts (tenant_id, kind, subject) WHERE resolved_ms IS NULL;
CREATE INDEX alerts_by_subject ON alerts (tenant_id, subject, position);
CREATE INDEX alerts_in_order ON alerts (tenant_id, position);
