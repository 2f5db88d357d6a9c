-- Whom alerts are told to by mail, and the messages.

CREATE TABLE mail_recipients (
    tenant_id    TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    recipient_id TEXT COLLATE "C" NOT NULL,
    email        TEXT COLLATE "C" NOT NULL,
    -- JSON array; empty: all.
    kinds        TEXT COLLATE "C" NOT NULL,
    failing_ms   BIGINT,
    last_failure TEXT COLLATE "C",
    created_ms   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, recipient_id),
    UNIQUE (tenant_id, email)
);

-- One gathers what happens within a minute, and is then sent.
CREATE TABLE mails (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    TEXT COLLATE "C" NOT NULL,
    delivery_id  TEXT COLLATE "C" NOT NULL,
    recipient_id TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    -- All that it tells of, also what has no row.
    events       BIGINT NOT NULL,
    attempts     BIGINT NOT NULL DEFAULT 0,
    created_ms   BIGINT NOT NULL,
    -- When it is to be tried; null of what is in hand or done.
    due_ms       BIGINT,
    attempted_ms BIGINT,
    last_status  BIGINT,
    last_failure TEXT COLLATE "C",
    UNIQUE (tenant_id, delivery_id),
    FOREIGN KEY (tenant_id, recipient_id) REFERENCES mail_recipients (tenant_id, recipient_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX mails_gathering ON mails (tenant_id, recipient_id) WHERE state = 'gathering';
CREATE INDEX mails_due ON mails (tenant_id, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX mails_by_recipient ON mails (tenant_id, recipient_id, position);

CREATE TABLE mail_events (
    position    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   TEXT COLLATE "C" NOT NULL,
    delivery_id TEXT COLLATE "C" NOT NULL,
    -- As a webhook is told it.
    body        TEXT COLLATE "C" NOT NULL,
    FOREIGN KEY (tenant_id, delivery_id) REFERENCES mails (tenant_id, delivery_id) ON DELETE CASCADE
);
CREATE INDEX mail_events_by_mail ON mail_events (tenant_id, delivery_id, position);
