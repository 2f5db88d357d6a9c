-- Who is in a group, and how many devices a venue has, without looking at every row.
CREATE INDEX members_by_group ON device_group_members (tenant_id, venue_id, group_id, device_id);
DROP INDEX devices_by_venue;
CREATE INDEX devices_in_venue ON devices (tenant_id, venue_id, device_id) WHERE revoked_ms IS NULL;
