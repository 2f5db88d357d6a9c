//! Many devices, each with a key and a certificate of its own, in the store as if each had enrolled: a hundred thousand
//! enrolments, each a commit, are not what is measured.

use std::sync::{Arc, Mutex};
use std::thread;

use fleet_control::pki::{Authority, RequestedKey};
use fleet_control::store::DEFAULT_TENANT;
use fleet_protocol::Sha256;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use sqlx::{AnyPool, Row as _};

use crate::Outcome;
use crate::client::{Client, Endpoint};

/// Screens of one venue.
const PER_VENUE: usize = 100;

pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) token: String,
    certificate: Vec<u8>,
    key: Vec<u8>,
    pub(crate) state: tokio::sync::Mutex<State>,
}

/// What the device knows, and what it was answered.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) client: Option<Client>,
    pub(crate) etag: Option<String>,
    /// Of its last heartbeats.
    pub(crate) number: u64,
    /// The last ones that were acknowledged, and how many were in all.
    pub(crate) agent: u64,
    pub(crate) player: u64,
    pub(crate) acknowledged: u64,
}

impl Device {
    fn new(authority: &Authority, now: Timestamp) -> Outcome<Self> {
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?;
        let requested = RequestedKey::from_csr(&request.pem()?)?;
        let issued = authority.issue_device(&requested, &DEFAULT_TENANT.parse()?, now)?;
        let id = requested.device_id().to_string();
        Ok(Self {
            token: Sha256::of(format!("token of {id}")).to_string(),
            certificate: pem::parse(&issued.pem)?.contents().to_vec(),
            key: key.serialize_der(),
            id,
            state: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn client(&self, endpoint: &Endpoint) -> Outcome<Client> {
        endpoint.device(&self.certificate, &self.key)
    }

    /// For agents and for players.
    pub(crate) fn headers(&self) -> String {
        format!("x-device-token: {}\r\n", self.token)
    }
}

/// Makes so many, on all cores.
pub(crate) fn make(authority: &Authority, count: usize, now: Timestamp) -> Outcome<Vec<Device>> {
    let (made, threads) = (Mutex::new(Vec::with_capacity(count)), 2);
    thread::scope(|scope| {
        let makers = (0..threads).map(|number| {
            let made = &made;
            scope.spawn(move || -> Result<(), String> {
                for _ in (number..count).step_by(threads) {
                    let device = Device::new(authority, now).map_err(|e| e.to_string())?;
                    made.lock().map_err(|e| e.to_string())?.push(device);
                }
                Ok(())
            })
        });
        let makers: Vec<_> = makers.collect();
        let ended = makers.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.collect::<Result<Vec<_>, _>>()
    })
    .map_err(|_| "a thread that makes devices has broken")?
    .into_iter()
    .collect::<Result<Vec<_>, _>>()?;
    Ok(made.into_inner()?)
}

/// Puts them into the store; `begin` is how many were there before.
pub(crate) async fn enrol(
    database: &AnyPool,
    devices: &[Device],
    begin: usize,
    now: Timestamp,
) -> Outcome<()> {
    let now_ms = now.as_millisecond();
    let mut tx = database.begin().await?;
    for (index, device) in devices.iter().enumerate() {
        let number = begin + index;
        let venue = format!("ven_bench{}", number / PER_VENUE);
        if number.is_multiple_of(PER_VENUE) {
            sqlx::query(
                "INSERT INTO venues (tenant_id, venue_id, name, timezone, screen_hours, created_ms, updated_ms)
                 VALUES ($1, $2, $2, 'Europe/London', '[]', $3, $3) ON CONFLICT DO NOTHING",
            )
            .bind(DEFAULT_TENANT)
            .bind(&venue)
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query(
            "INSERT INTO devices (tenant_id, device_id, name, compatible, hardware, token_sha256, enrolled_ms, version,
                                  venue_id)
             VALUES ($1, $2, $3, 'fleet-bench', 'QEMU', $4, $5, '1.0.0', $6)",
        )
        .bind(DEFAULT_TENANT)
        .bind(&device.id)
        .bind(format!("screen-{number}"))
        .bind(Sha256::of(&device.token).to_string())
        .bind(now_ms)
        .bind(venue)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO device_vitals (tenant_id, device_id, heard_ms, certificate_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(DEFAULT_TENANT)
        .bind(&device.id)
        .bind(now_ms)
        .bind(now_ms + 90 * 86_400_000)
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

/// How many heartbeats were acknowledged, and how many devices' last one, of agent or player, the database has not.
pub(crate) async fn lost(database: &AnyPool, devices: &[Arc<Device>]) -> Outcome<(u64, u64)> {
    let (mut acknowledged, mut lost) = (0, 0);
    for device in devices {
        let state = device.state.lock().await;
        let row = sqlx::query(
            "SELECT heartbeat, player FROM devices WHERE tenant_id = $1 AND device_id = $2",
        )
        .bind(DEFAULT_TENANT)
        .bind(&device.id)
        .fetch_one(database)
        .await?;
        let kept = |column: &str, field: &str| -> Outcome<u64> {
            let text: Option<String> = row.try_get(column)?;
            let kept: Value = text.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?;
            Ok(kept.pointer(field).and_then(Value::as_u64).unwrap_or(0))
        };
        acknowledged += state.acknowledged;
        // One that was not answered in time may be there all the same.
        lost += u64::from(kept("heartbeat", "/uptimeSeconds")? < state.agent);
        lost += u64::from(kept("player", "/playback/loopCount")? < state.player);
    }
    Ok((acknowledged, lost))
}
