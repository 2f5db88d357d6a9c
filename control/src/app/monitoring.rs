//! What those who watch the control plane are told: whether it can work, and how it fares.

use std::path::Path;
use std::time::Instant;

use super::App;
use super::error::{Error, Kind, Refusal};
use crate::disk::{Space, failed};
use crate::metrics::{Facts, Task};
use crate::store::StoreError;

impl App {
    /// Whether requests can be answered in full.
    ///
    /// # Errors
    /// 503 while the control plane ends, the store does not answer, or the data folder takes no more.
    pub async fn ready(&self) -> Result<(), Error> {
        if *self.shutdown.borrow() {
            let hint = "it comes back by itself when it is started anew";
            return Err(not_ready("ENDING", "the control plane ends", hint));
        }
        let (data, least) = (self.data.clone(), self.settings.least_free_bytes);
        let looked = tokio::task::spawn_blocking(move || takes_more(&data, least)).await;
        looked.expect("looking at a folder does not panic")?;
        self.store.ping().await.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the store does not answer"
            );
            let hint = "look for the reason in the control plane's log";
            let mut refusal = Refusal::new(
                Kind::Unavailable,
                "STORE_UNAVAILABLE",
                "the store does not answer",
                hint,
            );
            refusal.retry_after_seconds = Some(5);
            refusal.into()
        })
    }

    /// Everything that is measured, in Prometheus' text format.
    pub async fn metrics_text(&self) -> String {
        let mut facts = self.disk_facts().await;
        match self.store_facts(&mut facts).await {
            Ok(()) => facts.store_answers = true,
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "counting devices and rollouts failed"
            ),
        }
        facts.wakeup_streams = self.wakeups.open();
        (facts.readers, facts.writers) = self.store.pools();
        self.metrics.render(&facts)
    }

    async fn store_facts(&self, facts: &mut Facts) -> Result<(), StoreError> {
        if let Some(bytes) = self.store.server_size_bytes().await? {
            facts.database_bytes = Some(bytes);
        }
        for ctx in self.store.all_tenants().await? {
            for (_, devices, online) in self.store.fleet_counts(&ctx, self.presence()).await? {
                facts.devices_online += online;
                facts.devices_offline += devices.saturating_sub(online);
            }
            for (state, rollouts) in self.store.rollouts_by_state(&ctx).await? {
                match facts.rollouts.iter_mut().find(|(name, _)| *name == state) {
                    Some((_, sum)) => *sum += rollouts,
                    None => facts.rollouts.push((state, rollouts)),
                }
            }
        }
        Ok(())
    }

    async fn disk_facts(&self) -> Facts {
        let data = self.data.clone();
        let look = move || {
            let space = Space::of(&data);
            let size = |name| Some(data.join(name).metadata().ok()?.len());
            let database = ["fleet.db", "fleet.db-wal"].into_iter().filter_map(size);
            let database = database.reduce(|a, b| a + b);
            Facts {
                database_bytes: database,
                free_bytes: space.map(|s| s.free_bytes),
                size_bytes: space.map(|s| s.size_bytes),
                ..Facts::default()
            }
        };
        let looked = tokio::task::spawn_blocking(look).await;
        looked.expect("looking at a folder does not panic")
    }

    /// Does it, and counts how it went.
    pub(super) async fn measured<T, E>(
        &self,
        task: Task,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let result = work.await;
        let ended = result.is_ok().then(|| self.now());
        self.metrics.task(task, begun.elapsed(), ended);
        result
    }
}

fn takes_more(data: &Path, least: u64) -> Result<(), Error> {
    // Not synced: anybody may ask, as often as they like.
    let probe = data.join(".ready");
    if let Err(source) = std::fs::write(&probe, b"x") {
        let detail = format!("the data folder can't be written: {source}");
        let hint = failed("write", &probe)(source).hint();
        return Err(not_ready("DATA_NOT_WRITABLE", detail, hint));
    }
    let _ = std::fs::remove_file(&probe);
    let free = Space::of(data).map_or(0, |space| space.free_bytes);
    if free >= least {
        return Ok(());
    }
    let detail = format!("the data folder has {free} bytes left, less than {least}");
    let hint = "make room on its file system: `fleet bundle prune`, `fleet asset delete`, or a larger disk";
    Err(not_ready("DATA_ALMOST_FULL", detail, hint))
}

fn not_ready(code: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Error {
    Refusal::new(Kind::Unavailable, code, detail, hint).into()
}
