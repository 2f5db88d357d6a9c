-- Who may do what, and what they did.

ALTER TABLE tenants ADD COLUMN disabled_ms BIGINT;

CREATE TABLE users (
    tenant_id     TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    user_id       TEXT COLLATE "C" NOT NULL,
    -- In small letters. One person, one login: over all tenants.
    email         TEXT COLLATE "C" NOT NULL UNIQUE,
    display_name  TEXT COLLATE "C" NOT NULL,
    -- Argon2id in PHC form; null until the invitation is accepted.
    password      TEXT COLLATE "C",
    disabled_ms   BIGINT,
    tenant_role   TEXT COLLATE "C",
    venue_roles   TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    capabilities  TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    totp_secret   TEXT COLLATE "C",
    -- Steps up to this one were used: a code is good once.
    totp_step     BIGINT NOT NULL DEFAULT 0,
    totp_since_ms BIGINT,
    recovery      TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    version       BIGINT NOT NULL DEFAULT 1,
    last_login_ms BIGINT,
    created_ms    BIGINT NOT NULL,
    updated_ms    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);

-- Links by which a password is chosen, once; a new one replaces the one before.
CREATE TABLE invitations (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    user_id      TEXT COLLATE "C" NOT NULL,
    token_sha256 TEXT COLLATE "C" NOT NULL UNIQUE,
    expires_ms   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id)
);

-- One login each. Only the newest refresh token of a session is good; an older one that comes back ends it.
CREATE TABLE sessions (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    session_id   TEXT COLLATE "C" NOT NULL,
    user_id      TEXT COLLATE "C" NOT NULL,
    created_ms   BIGINT NOT NULL,
    refreshed_ms BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL,
    ended_ms     BIGINT,
    address      TEXT COLLATE "C" NOT NULL,
    user_agent   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id)
);
CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id);

CREATE TABLE refresh_tokens (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    session_id   TEXT COLLATE "C" NOT NULL,
    token_sha256 TEXT COLLATE "C" NOT NULL UNIQUE,
    issued_ms    BIGINT NOT NULL,
    used_ms      BIGINT,
    PRIMARY KEY (tenant_id, session_id, token_sha256),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, session_id) ON DELETE CASCADE
);

CREATE TABLE api_keys (
    tenant_id    TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    api_key_id   TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    token_sha256 TEXT COLLATE "C" NOT NULL UNIQUE,
    scopes       TEXT COLLATE "C" NOT NULL,
    venue_ids    TEXT COLLATE "C" NOT NULL,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT,
    last_used_ms BIGINT,
    PRIMARY KEY (tenant_id, api_key_id)
);

-- Append-only. An entry is one document, so that its hash is of what is kept.
CREATE TABLE audit (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    sequence  BIGINT NOT NULL,
    at_ms     BIGINT NOT NULL,
    actor     TEXT COLLATE "C" NOT NULL,
    hash      TEXT COLLATE "C" NOT NULL,
    entry     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, sequence)
);
