-- Whom alerts are told to by mail, and the messages.

CREATE TABLE mail_recipients (
    tenant_id    TEXT NOT NULL REFERENCES tenants (tenant_id),
    recipient_id TEXT NOT NULL,
    email        TEXT NOT NULL,
    -- JSON array; empty: all.
    kinds        TEXT NOT NULL,
    failing_ms   INTEGER,
    last_failure TEXT,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, recipient_id),
    UNIQUE (tenant_id, email)
) STRICT;

-- One gathers what happens within a minute, and is then sent.
CREATE TABLE mails (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id    TEXT NOT NULL,
    delivery_id  TEXT NOT NULL,
    recipient_id TEXT NOT NULL,
    state        TEXT NOT NULL,
    -- All that it tells of, also what has no row.
    events       INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    created_ms   INTEGER NOT NULL,
    -- When it is to be tried; null of what is in hand or done.
    due_ms       INTEGER,
    attempted_ms INTEGER,
    last_status  INTEGER,
    last_failure TEXT,
    UNIQUE (tenant_id, delivery_id),
    FOREIGN KEY (tenant_id, recipient_id) REFERENCES mail_recipients (tenant_id, recipient_id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX mails_gathering ON mails (tenant_id, recipient_id) WHERE state = 'gathering';
CREATE INDEX mails_due ON mails (tenant_id, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX mails_by_recipient ON mails (tenant_id, recipient_id, position);

CREATE TABLE mail_events (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id   TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    -- As a webhook is told it.
    body        TEXT NOT NULL,
    FOREIGN KEY (tenant_id, delivery_id) REFERENCES mails (tenant_id, delivery_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX mail_events_by_mail ON mail_events (tenant_id, delivery_id, position);
