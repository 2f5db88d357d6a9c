-- Whom alerts are told to, and the messages.

CREATE TABLE webhooks (
    tenant_id     TEXT NOT NULL REFERENCES tenants (tenant_id),
    webhook_id    TEXT NOT NULL,
    name          TEXT NOT NULL,
    url           TEXT NOT NULL,
    -- Signatures are made with it, so it is kept as it is.
    secret        TEXT NOT NULL,
    -- JSON array; empty: all.
    kinds         TEXT NOT NULL,
    disabled_ms   INTEGER,
    failing_ms    INTEGER,
    last_failure  TEXT,
    version       INTEGER NOT NULL DEFAULT 1,
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, webhook_id)
) STRICT;

-- Written together with what they tell of, and then sent.
CREATE TABLE webhook_deliveries (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id    TEXT NOT NULL,
    delivery_id  TEXT NOT NULL,
    webhook_id   TEXT NOT NULL,
    event        TEXT NOT NULL,
    alert_id     TEXT,
    body         TEXT NOT NULL,
    state        TEXT NOT NULL DEFAULT 'pending',
    attempts     INTEGER NOT NULL DEFAULT 0,
    created_ms   INTEGER NOT NULL,
    -- When it is to be tried; null of what is in hand or done.
    due_ms       INTEGER,
    attempted_ms INTEGER,
    last_status  INTEGER,
    last_failure TEXT,
    UNIQUE (tenant_id, delivery_id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, webhook_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX deliveries_due ON webhook_deliveries (tenant_id, webhook_id, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX deliveries_by_webhook ON webhook_deliveries (tenant_id, webhook_id, position);
