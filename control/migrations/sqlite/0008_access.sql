-- Who may do what, and what they did.

ALTER TABLE tenants ADD COLUMN disabled_ms INTEGER;

CREATE TABLE users (
    tenant_id     TEXT NOT NULL REFERENCES tenants (tenant_id),
    user_id       TEXT NOT NULL,
    -- In small letters. One person, one login: over all tenants.
    email         TEXT NOT NULL UNIQUE,
    display_name  TEXT NOT NULL,
    -- Argon2id in PHC form; null until the invitation is accepted.
    password      TEXT,
    disabled_ms   INTEGER,
    tenant_role   TEXT,
    venue_roles   TEXT NOT NULL DEFAULT '[]',
    capabilities  TEXT NOT NULL DEFAULT '[]',
    totp_secret   TEXT,
    -- Steps up to this one were used: a code is good once.
    totp_step     INTEGER NOT NULL DEFAULT 0,
    totp_since_ms INTEGER,
    recovery      TEXT NOT NULL DEFAULT '[]',
    version       INTEGER NOT NULL DEFAULT 1,
    last_login_ms INTEGER,
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) STRICT;

-- Links by which a password is chosen, once; a new one replaces the one before.
CREATE TABLE invitations (
    tenant_id    TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    token_sha256 TEXT NOT NULL UNIQUE,
    expires_ms   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id)
) STRICT;

-- One login each. Only the newest refresh token of a session is good; an older one that comes back ends it.
CREATE TABLE sessions (
    tenant_id    TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    refreshed_ms INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    ended_ms     INTEGER,
    address      TEXT NOT NULL,
    user_agent   TEXT NOT NULL,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id)
) STRICT;
CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id);

CREATE TABLE refresh_tokens (
    tenant_id    TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    token_sha256 TEXT NOT NULL UNIQUE,
    issued_ms    INTEGER NOT NULL,
    used_ms      INTEGER,
    PRIMARY KEY (tenant_id, session_id, token_sha256),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, session_id) ON DELETE CASCADE
) STRICT;

CREATE TABLE api_keys (
    tenant_id    TEXT NOT NULL REFERENCES tenants (tenant_id),
    api_key_id   TEXT NOT NULL,
    name         TEXT NOT NULL,
    token_sha256 TEXT NOT NULL UNIQUE,
    scopes       TEXT NOT NULL,
    venue_ids    TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER,
    last_used_ms INTEGER,
    PRIMARY KEY (tenant_id, api_key_id)
) STRICT;

-- Append-only. An entry is one document, so that its hash is of what is kept.
CREATE TABLE audit (
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id),
    sequence  INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    hash      TEXT NOT NULL,
    entry     TEXT NOT NULL,
    PRIMARY KEY (tenant_id, sequence)
) STRICT;
