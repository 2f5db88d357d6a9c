//! Who each device is, where its screen is, that venue's epoch, and whether commands wait for it, remembered: what requests of
//! devices ask for all day, and what seldom changes.
//!
//! The database keeps a list of what changed of it, which its own triggers write (`migrations/*/0015_changes.sql`). Before what
//! is remembered is believed, the list is read on from where it was last read: once for all requests that wait for it, however
//! many those are (docs/decisions/0021-device-traffic.md).
//!
//! Invariants:
//! - What is answered from memory was so at some moment after the question came, whoever changed it: this control plane, another
//!   one on the same database, or the command line.
//! - Only while the database can't be asked, and for [`TRUSTED`], may it be older. When it can be asked again, nothing from
//!   before is believed.
//! - Whom the gate does not let in is not remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fleet_protocol::{DeviceId, Sha256, TenantId, VenueId};
use jiff::Timestamp;
use sqlx::Row as _;

use super::{Store, StoreError, TenantContext, count, flag, ms, parse};

/// From the beginning of one reading to that of the next: those who come in between share it.
const PACE: Duration = Duration::from_millis(5);
/// Until a database that does not answer counts as one that can't be asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same when the last reading failed: most devices are not to wait for what is gone.
const LITTLE_PATIENCE: Duration = Duration::from_millis(500);
/// For how long memory is believed without the database's word.
const TRUSTED: Duration = Duration::from_mins(5);
/// Whoever is further behind forgets everything instead.
const READ_AT_ONCE: usize = 1_000;
/// More than this program is made for; they take some 40 MB.
const MOST_DEVICES: usize = 200_000;
/// Far more than [`READ_AT_ONCE`], so that whoever is behind what was thrown away is too far behind as well.
const CHANGES_KEPT: i64 = 20_000;

/// A venue as its screens see it: as long as it stays the same, only time changes what they show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueEpoch {
    pub venue_id: VenueId,
    pub epoch: u64,
}

/// A device that may come in, and where its screen is.
#[derive(Debug, Clone)]
pub struct Admitted {
    pub ctx: TenantContext,
    pub screen: Option<VenueEpoch>,
    /// False: no command waits for it, neither for its agent nor for its player. True: look.
    pub commands: bool,
}

type Place = (TenantId, VenueId);

#[derive(Debug, Clone)]
struct Device {
    token: Sha256,
    place: Arc<Place>,
    commands: bool,
}

/// A device as the database has it now.
#[derive(Debug, Clone)]
struct Found {
    device: Device,
    /// `None`: there is no such venue.
    epoch: Option<u64>,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Held by whoever reads the list.
    turn: Arc<tokio::sync::Mutex<()>>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Readings that have begun so far, and how many of them had when the last that ended began.
    begun: u64,
    ended: u64,
    /// Why that one failed.
    failure: Option<Arc<StoreError>>,
    began_at: Option<Instant>,
    /// When the last one began that did not fail.
    confirmed_at: Option<Instant>,
    /// All up to here is done; `None`: nothing is known.
    position: Option<i64>,
    devices: HashMap<DeviceId, Device>,
    venues: HashMap<Arc<Place>, u64>,
}

/// One row of the list.
struct Change {
    tenant: TenantId,
    kind: String,
    subject: String,
}

impl Memory {
    fn find(&self, id: &DeviceId) -> Option<Found> {
        let device = self.devices.get(id)?.clone();
        let epoch = self.venues.get(&device.place).copied()?;
        Some(Found {
            device,
            epoch: Some(epoch),
        })
    }

    /// What was read while all up to `position` was done; if more was done since, it may be from before that.
    fn keep(&mut self, id: &DeviceId, found: &Found, position: Option<i64>) {
        let Some(epoch) = found.epoch else { return };
        if position.is_none() || position != self.position {
            return;
        }
        if self.devices.len() >= MOST_DEVICES {
            self.devices.clear();
        }
        let place = self.venues.get_key_value(&found.device.place);
        let place = place.map_or_else(
            || Arc::clone(&found.device.place),
            |(known, _)| Arc::clone(known),
        );
        self.venues.insert(Arc::clone(&place), epoch);
        let device = Device {
            place,
            ..found.device
        };
        self.devices.insert(id.clone(), device);
    }

    fn forget(&mut self, change: &Change) {
        match change.kind.as_str() {
            "device" => {
                if let Ok(id) = change.subject.parse::<DeviceId>() {
                    self.devices.remove(&id);
                }
            }
            "venue" => {
                if let Ok(venue) = change.subject.parse::<VenueId>() {
                    self.venues.remove(&(change.tenant.clone(), venue));
                }
            }
            // A tenant, and what a newer program may add.
            _ => self.forget_all(),
        }
    }

    fn forget_all(&mut self) {
        self.devices.clear();
        self.venues.clear();
    }
}

impl Known {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing is left half done by a panic while it is held.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a reading went that began after `arrived` others had; `None`: there was none.
    fn word_since(&self, arrived: u64) -> Option<Result<(), StoreError>> {
        let memory = self.memory();
        (memory.ended > arrived).then(|| match &memory.failure {
            None => Ok(()),
            Some(error) => Err(StoreError::Together(Arc::clone(error))),
        })
    }
}

impl Store {
    /// The device `id`, if the token is its own and it is not revoked.
    pub async fn device_gate(
        &self,
        id: &DeviceId,
        token: &Sha256,
        now: Timestamp,
    ) -> Result<Option<Admitted>, StoreError> {
        let found = self.known_device(id, now).await?;
        let found = found.filter(|found| found.device.token == *token);
        Ok(found.map(|found| found.admitted(id)))
    }

    /// The device `id`, by its certificate alone, if it is not revoked.
    pub async fn certificate_gate(
        &self,
        id: &DeviceId,
        now: Timestamp,
    ) -> Result<Option<TenantContext>, StoreError> {
        let found = self.known_device(id, now).await?;
        Ok(found.map(|found| found.admitted(id).ctx))
    }

    /// Has the device looked up anew: what was believed of its commands is over.
    pub(super) fn forget_device(&self, id: &DeviceId) {
        self.known.memory().devices.remove(id);
    }

    async fn known_device(
        &self,
        id: &DeviceId,
        now: Timestamp,
    ) -> Result<Option<Found>, StoreError> {
        let caught_up = self.catch_up().await;
        let (remembered, position, confirmed_at) = {
            let memory = self.known.memory();
            (memory.find(id), memory.position, memory.confirmed_at)
        };
        if let Err(error) = caught_up {
            let is_recent = confirmed_at.is_some_and(|at| at.elapsed() < TRUSTED);
            return match remembered {
                Some(found) if is_recent && error.is_passing() => Ok(Some(found)),
                _ => Err(error),
            };
        }
        if remembered.is_some() {
            return Ok(remembered);
        }
        let found = self.find_device(id, now).await?;
        if let Some(found) = &found {
            self.known.memory().keep(id, found, position);
        }
        Ok(found)
    }

    /// `None`: there is none that may come in.
    async fn find_device(
        &self,
        id: &DeviceId,
        now: Timestamp,
    ) -> Result<Option<Found>, StoreError> {
        let row = sqlx::query(
            "SELECT d.tenant_id, d.token_sha256, d.venue_id, v.manifest_epoch,
                    (SELECT count(*) FROM commands c WHERE c.tenant_id = d.tenant_id AND c.device_id = d.device_id
                        AND c.result IS NULL AND c.cancelled_ms IS NULL AND c.expires_ms > $2) AS commands
             FROM devices d LEFT JOIN venues v ON v.tenant_id = d.tenant_id AND v.venue_id = d.venue_id
             WHERE d.device_id = $1 AND d.revoked_ms IS NULL
             AND d.tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE disabled_ms IS NOT NULL)",
        )
        .bind(id.as_str())
        .bind(ms(now))
        .fetch_optional(&self.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let tenant = parse("a tenant id", row.try_get("tenant_id")?)?;
        let venue = parse("a venue id", row.try_get("venue_id")?)?;
        let device = Device {
            token: parse("a token's digest", row.try_get("token_sha256")?)?,
            place: Arc::new((tenant, venue)),
            commands: flag(&row, "commands")?,
        };
        let epoch: Option<i64> = row.try_get("manifest_epoch")?;
        Ok(Some(Found {
            device,
            epoch: epoch.map(count),
        }))
    }

    /// Returns when everything is forgotten that was changed before this was called.
    async fn catch_up(&self) -> Result<(), StoreError> {
        let (arrived, patience) = {
            let memory = self.known.memory();
            let failing = memory.failure.is_some();
            let patience = if failing { LITTLE_PATIENCE } else { PATIENCE };
            (memory.begun, patience)
        };
        let read = tokio::time::timeout(patience, self.read_or_wait(arrived)).await;
        read.unwrap_or(Err(StoreError::Query(sqlx::Error::PoolTimedOut)))
    }

    async fn read_or_wait(&self, arrived: u64) -> Result<(), StoreError> {
        let turn = Arc::clone(&self.known.turn).lock_owned().await;
        if let Some(word) = self.known.word_since(arrived) {
            return word;
        }
        let store = self.clone();
        // Of its own: the others go on waiting for it when this one has gone.
        let reading = tokio::spawn(async move {
            store.read_on().await;
            drop(turn);
        });
        let _ = reading.await;
        let word = self.known.word_since(arrived);
        word.unwrap_or(Err(StoreError::Crowded))
    }

    /// Reads on in the list, and keeps how that went.
    async fn read_on(&self) {
        let began_at = self.known.memory().began_at;
        if let Some(rest) = began_at.and_then(|at| PACE.checked_sub(at.elapsed())) {
            tokio::time::sleep(rest).await;
        }
        let now = Instant::now();
        let (number, position) = {
            let mut memory = self.known.memory();
            memory.begun += 1;
            memory.began_at = Some(now);
            // A database that was away may come back as an older one: restored, or another server's copy.
            let position = memory.position.filter(|_| memory.failure.is_none());
            (memory.begun, position)
        };
        let reading = async {
            match position {
                Some(position) => self.changes_since(position).await,
                None => Ok((self.newest_change().await?, None)),
            }
        };
        let read = tokio::time::timeout(PATIENCE, reading).await;
        let read = read.unwrap_or(Err(StoreError::Query(sqlx::Error::PoolTimedOut)));
        let mut memory = self.known.memory();
        memory.ended = number;
        match read {
            Ok((newest, changes)) => {
                match changes {
                    Some(changes) => changes.iter().for_each(|change| memory.forget(change)),
                    None => memory.forget_all(),
                }
                memory.position = Some(newest);
                memory.confirmed_at = Some(now);
                memory.failure = None;
            }
            Err(error) => memory.failure = Some(Arc::new(error)),
        }
    }

    /// The number of the last one, and all of them, or `None` if they are too many.
    async fn changes_since(&self, position: i64) -> Result<(i64, Option<Vec<Change>>), StoreError> {
        let rows = sqlx::query(
            "SELECT number, tenant_id, kind, subject FROM changes WHERE number > $1 ORDER BY number LIMIT $2",
        )
        .bind(position)
        .bind(i64::try_from(READ_AT_ONCE + 1).unwrap_or(i64::MAX))
        .fetch_all(&self.read)
        .await?;
        if rows.len() > READ_AT_ONCE {
            return Ok((self.newest_change().await?, None));
        }
        let mut newest = position;
        let mut changes = Vec::with_capacity(rows.len());
        for row in &rows {
            newest = row.try_get("number")?;
            changes.push(Change {
                tenant: parse("a tenant id", row.try_get("tenant_id")?)?,
                kind: row.try_get("kind")?,
                subject: row.try_get("subject")?,
            });
        }
        Ok((newest, Some(changes)))
    }

    async fn newest_change(&self) -> Result<i64, StoreError> {
        let newest = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM changes");
        Ok(newest.fetch_one(&self.read).await?)
    }

    /// Throws away what every control plane has read long ago, or will not read any more.
    pub async fn prune_changes(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM changes WHERE number <= (SELECT max(number) FROM changes) - $1")
            .bind(CHANGES_KEPT)
            .execute(&self.write)
            .await?;
        Ok(())
    }
}

impl Found {
    fn admitted(self, id: &DeviceId) -> Admitted {
        let commands = self.device.commands;
        let (tenant, venue_id) = Arc::unwrap_or_clone(self.device.place);
        Admitted {
            commands,
            ctx: TenantContext::device(tenant, id.clone()),
            screen: self.epoch.map(|epoch| VenueEpoch { venue_id, epoch }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceId {
        "dev_a".parse().unwrap()
    }

    fn found(epoch: u64) -> Found {
        let place = ("ten_a".parse().unwrap(), "ven_a".parse().unwrap());
        Found {
            device: Device {
                token: Sha256::of("token"),
                place: Arc::new(place),
                commands: false,
            },
            epoch: Some(epoch),
        }
    }

    fn knowing() -> Memory {
        let mut memory = Memory {
            position: Some(7),
            ..Memory::default()
        };
        memory.keep(&device(), &found(3), Some(7));
        assert_eq!(memory.find(&device()).and_then(|f| f.epoch), Some(3));
        memory
    }

    #[test]
    fn what_changed_is_forgotten_and_nothing_else() {
        let check = |tenant: &str, kind: &str, subject: &str, stays: bool| {
            let mut memory = knowing();
            memory.forget(&Change {
                tenant: tenant.parse().unwrap(),
                kind: kind.to_owned(),
                subject: subject.to_owned(),
            });
            assert_eq!(memory.find(&device()).is_some(), stays, "{kind} {subject}");
        };
        check("ten_a", "device", "dev_a", false);
        check("ten_a", "device", "dev_b", true);
        check("ten_a", "venue", "ven_a", false);
        check("ten_a", "venue", "ven_b", true);
        check("ten_b", "venue", "ven_a", true);
        check("ten_a", "tenant", "ten_a", false);
        check("ten_a", "of a newer program", "x", false);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let mut memory = Memory::default();
        memory.keep(&device(), &found(1), None);
        assert!(memory.find(&device()).is_none());
        memory.position = Some(8);
        memory.keep(&device(), &found(1), Some(7));
        assert!(memory.find(&device()).is_none());
    }
}
