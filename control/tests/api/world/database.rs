//! A database of PostgreSQL for each world, when `FLEET_TEST_DATABASE` names a server; else all worlds are SQLite's.

use std::path::Path;
use std::sync::Arc;

use fleet_control::store::{ServerUrl, Store};
use fleet_protocol::Sha256;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

use super::line::Line;

/// A database that is dropped at the end of its world.
pub(crate) struct TestDatabase {
    server: String,
    name: String,
    /// How the world reaches it, if not straight.
    via: Option<String>,
}

/// The database that all others are copies of, migrated once.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

impl TestDatabase {
    pub(crate) async fn new() -> Option<Self> {
        let server = std::env::var("FLEET_TEST_DATABASE").ok()?;
        let template = TEMPLATE.get_or_init(|| template(&server)).await;
        let name = free_name("world");
        let copy = format!("CREATE DATABASE {name} TEMPLATE {template}");
        perform(&server, &copy).await;
        Some(Self {
            server,
            name,
            via: None,
        })
    }

    pub(crate) fn url(&self) -> ServerUrl {
        self.address().parse().unwrap()
    }

    pub(crate) fn address(&self) -> String {
        address(self.via.as_ref().unwrap_or(&self.server), &self.name)
    }

    /// From now on the world reaches it by a line that can be cut. `None`: it is reached by no Unix socket.
    pub(crate) fn lay_line(&mut self) -> Option<Arc<Line>> {
        let (user, place) = self.server.split_once('@')?;
        let (folder, _) = place.split_once('/')?;
        let folder = folder.strip_prefix("%2F")?.replace("%2F", "/");
        let line = Line::to(&Path::new("/").join(folder));
        let own = line.folder().display().to_string().replace('/', "%2F");
        self.via = Some(format!("{user}@{own}/postgres"));
        Some(line)
    }

    pub(crate) async fn drop(self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        perform(&self.server, &drop).await;
    }
}

/// Left behind: no test knows that it is the last one. The cluster that `cargo xtask test` makes goes as a whole.
async fn template(server: &str) -> String {
    let name = free_name("template");
    perform(server, &format!("CREATE DATABASE {name}")).await;
    let url = address(server, &name).parse().unwrap();
    let store = Store::connect(&url).await.unwrap();
    store.close().await;
    name
}

/// The same server's other database.
fn address(server: &str, database: &str) -> String {
    let (address, query) = server.split_once('?').unwrap_or((server, ""));
    let (host, _) = address.rsplit_once('/').unwrap();
    format!("{host}/{database}?{query}")
}

fn free_name(kind: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let unique = Sha256::of(folder.path().to_string_lossy().as_bytes());
    format!(
        "fleet_{kind}_{}_{}",
        std::process::id(),
        &unique.to_string()[..16]
    )
}

async fn perform(server: &str, statement: &str) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    done.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
