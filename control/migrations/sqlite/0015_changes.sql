-- What changed of what control planes remember of devices (store/known.rs). The rows write themselves, in the transaction that
-- changes something: whatever program does it, none can forget. Numbers are in the order of the commits, and none comes twice.
CREATE TABLE changes (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    kind      TEXT NOT NULL,
    subject   TEXT NOT NULL
) STRICT;

CREATE TRIGGER device_changed AFTER UPDATE OF tenant_id, device_id, token_sha256, revoked_ms, venue_id ON devices BEGIN
    INSERT INTO changes (tenant_id, kind, subject) VALUES (OLD.tenant_id, 'device', OLD.device_id);
END;
CREATE TRIGGER device_gone AFTER DELETE ON devices BEGIN
    INSERT INTO changes (tenant_id, kind, subject) VALUES (OLD.tenant_id, 'device', OLD.device_id);
END;
CREATE TRIGGER venue_changed AFTER UPDATE OF tenant_id, venue_id, manifest_epoch ON venues BEGIN
    INSERT INTO changes (tenant_id, kind, subject) VALUES (OLD.tenant_id, 'venue', OLD.venue_id);
END;
CREATE TRIGGER venue_gone AFTER DELETE ON venues BEGIN
    INSERT INTO changes (tenant_id, kind, subject) VALUES (OLD.tenant_id, 'venue', OLD.venue_id);
END;
CREATE TRIGGER tenant_changed AFTER UPDATE OF tenant_id, disabled_ms ON tenants BEGIN
    INSERT INTO changes (tenant_id, kind, subject) VALUES (OLD.tenant_id, 'tenant', OLD.tenant_id);
END;
-- Only a new one: that one is done costs whoever believes otherwise a question, and 100,000 devices may say so at once.
CREATE TRIGGER command_queued AFTER INSERT ON commands BEGIN
    INSERT INTO changes (tenant_id, kind, subject) VALUES (NEW.tenant_id, 'device', NEW.device_id);
END;
