//! Where the two databases differ, and nowhere else: expressions that have no common spelling, SQLite's hints, and
//! the locks that PostgreSQL needs where SQLite has its single writer.
//!
//! A query is one text for both. Where it can't be, it is `format!`ted with a word from here.

use sqlx::{Any, Transaction};

use super::{Store, StoreError, TenantContext};

/// Which database this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// Rows that a transaction reads before it decides what to write. While they are held, nobody else decides on them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held<'a> {
    /// For numbers that count up within a tenant.
    Tenant,
    Device(&'a str),
    /// By the digest of its secret.
    EnrolmentToken(&'a str),
    Playlist(&'a str),
    Venue(&'a str),
    /// All of the tenant.
    Rollouts,
    /// Those that the device is in force in.
    RolloutsOf(&'a str),
}

impl Held<'_> {
    /// The rows, and what beside the tenant tells which.
    const fn rows(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Tenant => ("tenants WHERE tenant_id = $1", None),
            Self::Device(id) => ("devices WHERE tenant_id = $1 AND device_id = $2", Some(id)),
            Self::EnrolmentToken(secret) => (
                "enrolment_tokens WHERE tenant_id = $1 AND token_sha256 = $2",
                Some(secret),
            ),
            Self::Venue(id) => ("venues WHERE tenant_id = $1 AND venue_id = $2", Some(id)),
            Self::Playlist(id) => (
                "playlists WHERE tenant_id = $1 AND playlist_id = $2",
                Some(id),
            ),
            Self::Rollouts => ("rollouts WHERE tenant_id = $1 ORDER BY number", None),
            Self::RolloutsOf(device) => (
                "rollouts WHERE tenant_id = $1 AND rollout_id IN (
                     SELECT rollout_id FROM rollout_members
                     WHERE tenant_id = $1 AND device_id = $2 AND superseded = 0) ORDER BY number",
                Some(device),
            ),
        }
    }
}

impl Dialect {
    /// A table of one column `value`, with a row for each element of the JSON array in `text`. Ask it for parts
    /// with `->>`, and `CAST` what is to be a number: PostgreSQL gives text.
    pub(super) fn json_each(self, text: &str) -> String {
        match self {
            Self::Sqlite => format!("json_each({text})"),
            Self::Postgres => format!("json_array_elements(({text})::json)"),
        }
    }

    /// One JSON array, as text, of an array of `columns` for each row.
    pub(super) fn json_rows(self, columns: &str) -> String {
        match self {
            Self::Sqlite => format!("json_group_array(json_array({columns}))"),
            Self::Postgres => {
                format!("coalesce(json_agg(json_build_array({columns})), '[]')::text")
            }
        }
    }

    /// One JSON array, as text, of `column` of each row.
    pub(super) fn json_list(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("json_group_array({column})"),
            Self::Postgres => format!("coalesce(json_agg({column}), '[]')::text"),
        }
    }

    /// Whether `part` is in `text`, in letters of either case; only of those of ASCII, which is all that SQLite knows.
    pub(super) fn contains(self, text: &str, part: &str) -> String {
        match self {
            Self::Sqlite => format!("instr(lower({text}), lower({part})) > 0"),
            Self::Postgres => {
                format!("strpos(lower(({text}) COLLATE \"C\"), lower({part} COLLATE \"C\")) > 0")
            }
        }
    }

    /// For SQLite, whose planner knows nothing of how many rows there are.
    pub(super) fn indexed_by(self, index: &str) -> String {
        match self {
            Self::Sqlite => format!("INDEXED BY {index}"),
            Self::Postgres => String::new(),
        }
    }

    /// A join that SQLite begins at its left side.
    pub(super) const fn join_from_left(self) -> &'static str {
        match self {
            Self::Sqlite => "CROSS JOIN",
            Self::Postgres => "JOIN",
        }
    }
}

/// Whether what PostgreSQL's code stands for goes by: lost connections, a server that ends, starts or is full, a
/// deadlock, and time that ran out. <https://www.postgresql.org/docs/current/errcodes-appendix.html>. SQLite's codes are
/// numbers of up to four digits: 5 and what ends in it by its lowest byte is a busy database.
pub(super) fn is_passing(code: &str) -> bool {
    const PASSING: [&str; 8] = [
        "40001", "40P01", "53300", "55P03", "57014", "57P01", "57P02", "57P03",
    ];
    const BUSY: u32 = 5;
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => number & 0xff == BUSY,
        _ => code.starts_with("08") || PASSING.contains(&code),
    }
}

impl Store {
    /// Lets nobody else change these rows before the transaction ends. With SQLite nobody can: it has one writer.
    ///
    /// PostgreSQL's transactions see what others commit while they run (READ COMMITTED), so whatever reads first and
    /// writes by what it read holds the rows. Hold in the order of [`Held`]'s variants, or two wait for each other.
    pub(super) async fn hold(
        &self,
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
        held: Held<'_>,
    ) -> Result<(), StoreError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        let (rows, key) = held.rows();
        // Weaker than FOR UPDATE: a row that refers to these may come meanwhile.
        let sql = format!("SELECT 1 FROM {rows} FOR NO KEY UPDATE");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(ctx.key());
        if let Some(key) = key {
            query = query.bind(key);
        }
        query.execute(&mut **tx).await?;
        Ok(())
    }

    /// Holds the devices of a JSON array whose elements have `tenant` and `device`, in one order for everybody: who writes
    /// many at once would else wait in a ring with others who do.
    pub(super) async fn hold_devices(
        &self,
        tx: &mut Transaction<'_, Any>,
        rows: &str,
    ) -> Result<(), StoreError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        sqlx::query(
            "SELECT 1 FROM devices d JOIN json_array_elements(($1)::json) AS e
               ON d.tenant_id = e.value ->> 'tenant' AND d.device_id = e.value ->> 'device'
             ORDER BY d.tenant_id, d.device_id FOR NO KEY UPDATE OF d",
        )
        .bind(rows)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// A transaction that only reads, all of it as of one moment.
    pub(super) async fn snapshot(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(match self.dialect {
            Dialect::Sqlite => self.read.begin().await?,
            Dialect::Postgres => {
                self.read
                    .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await?
            }
        })
    }
}
