-- Whom alerts are told to, and the messages.

CREATE TABLE webhooks (
    tenant_id     TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    webhook_id    TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    url           TEXT COLLATE "C" NOT NULL,
    -- Signatures are made with it, so it is kept as it is.
    secret        TEXT COLLATE "C" NOT NULL,
    -- JSON array; empty: all.
    kinds         TEXT COLLATE "C" NOT NULL,
    disabled_ms   BIGINT,
    failing_ms    BIGINT,
    last_failure  TEXT COLLATE "C",
    version       BIGINT NOT NULL DEFAULT 1,
    created_ms    BIGINT NOT NULL,
    updated_ms    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, webhook_id)
);

-- Written together with what they tell of, and then sent.
CREATE TABLE webhook_deliveries (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    TEXT COLLATE "C" NOT NULL,
    delivery_id  TEXT COLLATE "C" NOT NULL,
    webhook_id   TEXT COLLATE "C" NOT NULL,
    event        TEXT COLLATE "C" NOT NULL,
    alert_id     TEXT COLLATE "C",
    body         TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL DEFAULT 'pending',
    attempts     BIGINT NOT NULL DEFAULT 0,
    created_ms   BIGINT NOT NULL,
    -- When it is to be tried; null of what is in hand or done.
    due_ms       BIGINT,
    attempted_ms BIGINT,
    last_status  BIGINT,
    last_failure TEXT COLLATE "C",
    UNIQUE (tenant_id, delivery_id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, webhook_id) ON DELETE CASCADE
);
CREATE INDEX deliveries_due ON webhook_deliveries (tenant_id, webhook_id, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX deliveries_by_webhook ON webhook_deliveries (tenant_id, webhook_id, position);
