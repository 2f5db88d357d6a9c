//! How long a rollout takes its control plane, with a real database of 100,000 devices: starting it, a pass of
//! the executor when all that were offered it have it, and the pass of every five seconds that finds nothing
//! to do. Three rollouts, because a second one has devices to take over and a third one attempts to count.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use fleet_control::app::{App, Settings};
use fleet_control::clock::Clock;
use fleet_control::domain::rollout::Act;
use fleet_control::pki::Authority;
use fleet_control::store::{DEFAULT_TENANT, Store, TenantContext};
use fleet_control::tokens::Ring;
use fleet_protocol::release::ReleaseStatus;
use fleet_protocol::rollout::{CreateRollout, Phase, RolloutStatus, RolloutView, default_phases};
use fleet_protocol::trust::{BundleRef, ReleaseMetadata};
use fleet_protocol::{Sha256, Version};
use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

const DEVICES: u32 = 100_000;
/// About what a device says of itself: the rows are as wide as in the field.
const HEARTBEAT_BYTES: u32 = 900;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct Fleet {
    app: Arc<App>,
    ctx: TenantContext,
    /// For what devices do: 100,000 reports, each a commit, are not what is measured.
    database: SqlitePool,
    now_s: Arc<AtomicI64>,
}

impl Fleet {
    async fn new(data: &Path) -> Outcome<Self> {
        let now_s = Arc::new(AtomicI64::new(Timestamp::UNIX_EPOCH.as_second()));
        let clock_s = Arc::clone(&now_s);
        let clock = Clock::from_fn(move || {
            let since = SignedDuration::from_secs(clock_s.load(Ordering::Relaxed));
            Timestamp::UNIX_EPOCH + since
        });
        let file = data.join("fleet.db");
        let store = Store::open(&file).await?;
        let secret = Sha256::of("operator");
        let tenant = DEFAULT_TENANT.parse()?;
        store
            .put_operator(&tenant, "admin", &secret, clock.now())
            .await?;
        let ctx = store.operator(&secret).await?.ok_or("no operator")?;
        let authority = Authority::open(&data.join("pki"), clock.now())?;
        let ring = Ring::open(&data.join("token-keys"), "https://bench", clock.now())?;
        let settings = Settings::default();
        let app = App::new(store, Arc::new(authority), ring, data, settings, clock);
        let database = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&file));
        let fleet = Self {
            app,
            ctx,
            database: database.await?,
            now_s,
        };
        for major in 1..=3 {
            fleet.publish(major).await?;
        }
        fleet.enrol_all().await?;
        Ok(fleet)
    }

    async fn publish(&self, major: u64) -> Outcome<()> {
        let release = ReleaseMetadata {
            version: Version::new(major, 0, 0),
            compatible: "fleet-bench".parse()?,
            bundle: BundleRef {
                file_name: format!("fleet-{major}.raucb"),
                sha256: Sha256::of("bundle"),
                size_bytes: 6,
                manifest_sha256: Sha256::of("manifest"),
            },
            root_hash: root_hash(major),
            issued_at: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::MAX,
            min_version: None,
            rollback_floor: None,
            allow_downgrade: false,
            hardware: Vec::new(),
            notes: String::new(),
        };
        let (envelope, now) = (release.to_envelope(), self.app.now());
        let store = &self.app.store;
        store
            .add_release(&self.ctx, &envelope, &release, ReleaseStatus::Stable, now)
            .await?;
        Ok(())
    }

    async fn enrol_all(&self) -> Outcome<()> {
        sqlx::query(
            "INSERT INTO devices (tenant_id, device_id, name, compatible, hardware, token_sha256,
                 enrolled_ms, version, root_hash, heartbeat)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             SELECT ?2, 'dev_' || lower(hex(randomblob(13))), 'screen-' || i, 'fleet-bench', 'QEMU',
                 hex(randomblob(32)), 0, '1.0.0', ?3, hex(zeroblob(?4 / 2)) FROM n",
        )
        .bind(DEVICES)
        .bind(DEFAULT_TENANT)
        .bind(root_hash(1).to_string())
        .bind(HEARTBEAT_BYTES)
        .execute(&self.database)
        .await?;
        Ok(())
    }

    async fn start(&self, name: &str, major: u64) -> Outcome<RolloutView> {
        let at_once = |phase| Phase {
            wait_seconds: 0,
            ..phase
        };
        let request = CreateRollout {
            version: Version::new(major, 0, 0),
            phases: Some(default_phases().into_iter().map(at_once).collect()),
            failure_threshold: None,
            rollback_on_failure: None,
            devices: None,
            deadline_seconds: None,
        };
        let began = Instant::now();
        let view = self.app.create_rollout(&self.ctx, request).await?;
        say(&format!("start_{name}"), began);
        assert!(view.counts.offered > 0, "a rollout begins with an offer");
        Ok(view)
    }

    /// Every device that was offered the version installs it and reports a verified boot.
    async fn update_the_offered(&self, major: u64) -> Outcome<()> {
        let now_s = self.now_s.fetch_add(60, Ordering::Relaxed) + 60;
        sqlx::query(
            "UPDATE devices SET version = ?1, root_hash = ?2, report_state = 'committed',
                 report_version = ?1, report_ms = ?3
             WHERE device_id IN (SELECT device_id FROM rollout_members
                 WHERE status = 'offered' AND superseded = 0)",
        )
        .bind(Version::new(major, 0, 0).to_string())
        .bind(root_hash(major).to_string())
        .bind(now_s * 1_000)
        .execute(&self.database)
        .await?;
        Ok(())
    }

    /// One activation of the executor.
    async fn pass(&self, name: &str) -> Outcome<()> {
        let began = Instant::now();
        self.app.plan_all().await?;
        say(&format!("pass_{name}"), began);
        Ok(())
    }

    /// Phase by phase, until all have it.
    async fn complete(&self, name: &str, major: u64, rollout: &RolloutView) -> Outcome<()> {
        for phase in 1..=rollout.phases.len() {
            self.update_the_offered(major).await?;
            self.pass(&format!("{name}_phase_{phase}")).await?;
        }
        let view = self.app.rollout(&self.ctx, &rollout.rollout_id).await?;
        assert_eq!(view.status, RolloutStatus::Completed, "{}", view.summary);
        Ok(())
    }
}

fn root_hash(major: u64) -> Sha256 {
    Sha256::of(format!("root-{major}"))
}

fn say(what: &str, began: Instant) {
    println!(
        "rollout_{what}_ms {:.1}",
        began.elapsed().as_secs_f64() * 1e3
    );
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let data = tempfile::tempdir()?;
    let fleet = Fleet::new(data.path()).await?;

    let first = fleet.start("first", 2).await?;
    fleet.pass("waiting").await?;
    fleet.complete("first", 2, &first).await?;
    fleet.pass("finished").await?;

    let second = fleet.start("second", 3).await?;
    let (app, ctx) = (&fleet.app, &fleet.ctx);
    let began = Instant::now();
    app.operate_rollout(ctx, &second.rollout_id, Act::Abort)
        .await?;
    say("abort", began);

    let third = fleet.start("third", 3).await?;
    fleet.complete("third", 3, &third).await?;
    fleet.pass("finished_three").await?;

    fleet.app.store.close().await;
    Ok(())
}
