-- What changed of what control planes remember of devices (store/known.rs). The rows write themselves, in the transaction that
-- changes something: whatever program does it, none can forget. Numbers are in the order of the commits: a transaction takes
-- its own when it has nothing more to do but to commit, and others wait with theirs until it has.
CREATE TABLE changes (
    number    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    subject   TEXT COLLATE "C" NOT NULL
);

-- Takes the kind, and the name of the column that tells which.
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := to_jsonb(CASE TG_OP WHEN 'INSERT' THEN NEW ELSE OLD END);
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('changes', 0));
    INSERT INTO changes (tenant_id, kind, subject) VALUES (changed ->> 'tenant_id', TG_ARGV[0], changed ->> TG_ARGV[1]);
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER device_changed AFTER UPDATE OF tenant_id, device_id, token_sha256, revoked_ms, venue_id ON devices
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change('device', 'device_id');
CREATE CONSTRAINT TRIGGER device_gone AFTER DELETE ON devices
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change('device', 'device_id');
CREATE CONSTRAINT TRIGGER venue_changed AFTER UPDATE OF tenant_id, venue_id, manifest_epoch ON venues
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change('venue', 'venue_id');
CREATE CONSTRAINT TRIGGER venue_gone AFTER DELETE ON venues
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change('venue', 'venue_id');
CREATE CONSTRAINT TRIGGER tenant_changed AFTER UPDATE OF tenant_id, disabled_ms ON tenants
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change('tenant', 'tenant_id');
-- Only a new one: that one is done costs whoever believes otherwise a question, and 100,000 devices may say so at once.
CREATE CONSTRAINT TRIGGER command_queued AFTER INSERT ON commands
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change('device', 'device_id');
