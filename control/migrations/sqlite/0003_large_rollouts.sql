-- Rollouts of 100,000 devices. What one statement reads of all devices or members lies together and in the
-- order of device ids: looked up row by row it took seconds.

-- All that the planner asks of a device, without the documents that make its row long.
CREATE INDEX devices_to_plan ON devices (
    tenant_id, device_id, compatible, version, root_hash, revoked_ms, begun_ms,
    report_state, report_version, report_rollout, report_ms, report_detail
);

-- As before, but stored by rollout.
CREATE TABLE members (
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
) STRICT, WITHOUT ROWID;
INSERT INTO members
    SELECT tenant_id, rollout_id, device_id, number, phase, status, superseded, offered_ms,
        previous_version, attempt, detail
    FROM rollout_members ORDER BY tenant_id, rollout_id, device_id;
DROP TABLE rollout_members;
ALTER TABLE members RENAME TO rollout_members;
CREATE INDEX members_by_device ON rollout_members (tenant_id, device_id, number);
-- One entry for each device, however many rollouts there have been.
CREATE INDEX members_in_force ON rollout_members (tenant_id, rollout_id, status, previous_version)
    WHERE superseded = 0;
