//! What operators and wake-up streams see beside the devices' traffic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet_protocol::Sha256;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::Outcome;
use crate::client::{Client, Endpoint, Line};
use crate::fleet::Device;
use crate::report::Latencies;
use crate::server::Server;

pub(crate) struct Operator {
    client: Client,
    headers: String,
}

const STREAM: &str = "/v1/device/wakeup";
const PATIENCE: Duration = Duration::from_mins(1);
/// Streams that are opened at a time.
const AT_ONCE: usize = 64;

impl Operator {
    pub(crate) fn new(endpoint: &Endpoint, server: &Server) -> Outcome<Self> {
        let token = server.token.trim();
        let headers =
            format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        Ok(Self {
            client: endpoint.operator()?,
            headers,
        })
    }

    async fn ask(&self, method: &str, path: &str, body: &[u8]) -> Outcome<Value> {
        let mut line = self.client.connect().await?;
        self.ask_on(&mut line, method, path, body).await
    }

    async fn ask_on(
        &self,
        line: &mut Line,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Outcome<Value> {
        let answer = line.ask(method, path, &self.headers, body).await?;
        let text = String::from_utf8_lossy(&answer.body);
        if !(200..300).contains(&answer.status) {
            return Err(format!("{method} {path}: {} {text}", answer.status).into());
        }
        Ok(serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    async fn tell(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        self.ask(method, path, body.to_string().as_bytes()).await
    }

    /// A playlist of ten items for all screens. Its identifier.
    pub(crate) async fn publish_something(&self) -> Outcome<String> {
        let mut png = std::io::Cursor::new(Vec::new());
        RgbImage::from_pixel(64, 36, image::Rgb([90, 90, 90]))
            .write_to(&mut png, ImageFormat::Png)?;
        let png = png.into_inner();
        let digest = Sha256::of(&png).to_string();
        let announced =
            json!({"fileName": "a.png", "fileSizeBytes": png.len(), "checksumSha256": digest});
        let session = self
            .tell("POST", "/v1/library/assets/uploads", &announced)
            .await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.ask("PUT", &text(&session["uploadUrl"]), &png).await?;
        let complete = format!(
            "/v1/library/assets/uploads/{}/complete",
            text(&session["uploadId"])
        );
        self.tell("POST", &complete, &json!({})).await?;
        let asset = text(&session["assetId"]);
        let begun = Instant::now();
        while self
            .ask("GET", &format!("/v1/library/assets/{asset}"), b"")
            .await?["status"]
            != "READY"
        {
            if begun.elapsed() > PATIENCE {
                return Err("a picture is looked at for ever".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let items = vec![json!({"assetId": asset}); 10];
        let playlist = json!({"name": "Day", "items": items});
        let playlist = self
            .tell("POST", "/v1/library/playlists", &playlist)
            .await?;
        let id = text(&playlist["playlistId"]);
        self.publish(&id).await?;
        Ok(id)
    }

    async fn publish(&self, playlist: &str) -> Outcome<()> {
        let path = format!("/v1/library/playlists/{playlist}/publish");
        self.tell("POST", &path, &json!({})).await?;
        Ok(())
    }

    /// The 99th percentile of pages of devices, searched and not, in milliseconds.
    pub(crate) async fn lists(&self) -> Outcome<f64> {
        let mut took = Latencies::default();
        let mut line = self.client.connect().await?;
        for round in 0..150 {
            let (mut cursor, search) = (String::new(), format!("&q=screen-{round}"));
            for query in ["", "next", search.as_str(), "&status=online"] {
                let query = if query == "next" {
                    cursor.as_str()
                } else {
                    query
                };
                let path = format!("/v1/devices?limit=50{query}");
                let begun = Instant::now();
                let page = self.ask_on(&mut line, "GET", &path, b"").await?;
                took.add(begun.elapsed());
                let next = page["nextCursor"].as_str();
                cursor = next.map_or(String::new(), |next| format!("&cursor={next}"));
            }
        }
        Ok(took.percentile(99.0))
    }

    /// From the request to publish until a screen has the manifest, by way of its wake-up: the longest of some, in
    /// milliseconds.
    pub(crate) async fn visible(
        &self,
        endpoint: &Endpoint,
        devices: &[Arc<Device>],
        playlist: &str,
    ) -> Outcome<f64> {
        let mut longest = 0.0_f64;
        for device in devices {
            let client = device.client(endpoint)?;
            let mut stream = open_stream(&client, device).await?;
            let mut line = client.connect().await?;
            let headers = device.headers();
            let known = line
                .ask("GET", "/v1/player/manifest", &headers, b"")
                .await?;
            let begun = Instant::now();
            let woken = async {
                wait_for(&mut stream, "content").await?;
                let tag = known.etag.clone().unwrap_or_default();
                let headers = format!("{headers}if-none-match: {tag}\r\n");
                let answer = line
                    .ask("GET", "/v1/player/manifest", &headers, b"")
                    .await?;
                if answer.status != 200 {
                    return Err(format!("after a publication: {}", answer.status).into());
                }
                Outcome::Ok(begun.elapsed())
            };
            let (published, woken) = tokio::join!(self.publish(playlist), woken);
            published?;
            longest = longest.max(woken?.as_secs_f64() * 1e3);
        }
        Ok(longest)
    }

    /// Opens a stream of each, and wakes all: KB of the server's memory for each, and milliseconds until the last is woken.
    pub(crate) async fn streams(
        &self,
        endpoint: &Endpoint,
        server: &Server,
        devices: &[Arc<Device>],
    ) -> Outcome<(f64, f64)> {
        let before = server.memory_kb()?;
        let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        let (opened, mut open) = mpsc::unbounded_channel();
        let mut listeners = tokio::task::JoinSet::new();
        for device in devices {
            let permit = Arc::clone(&permits).acquire_owned().await?;
            let (endpoint, device, opened) = (endpoint.clone(), Arc::clone(device), opened.clone());
            listeners.spawn(async move {
                let listening = async {
                    let client = device.client(&endpoint)?;
                    let mut stream = open_stream(&client, &device).await?;
                    drop(permit);
                    opened.send(())?;
                    wait_for(&mut stream, "target").await
                };
                listening
                    .await
                    .map_err(|error: Box<dyn std::error::Error>| error.to_string())
            });
        }
        // One that was not opened says so when the listeners are asked.
        drop(opened);
        for _ in devices {
            open.recv().await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let grown = server.memory_kb()?.saturating_sub(before);
        let begun = Instant::now();
        let document = json!({"control": {"heartbeat_interval_s": 60}});
        self.tell("PUT", "/v1/config/default", &document).await?;
        while let Some(woken) = listeners.join_next().await {
            woken??;
        }
        let count = u32::try_from(devices.len())?;
        let grown = f64::from(u32::try_from(grown)?);
        Ok((
            grown / f64::from(count),
            begun.elapsed().as_secs_f64() * 1e3,
        ))
    }
}

async fn open_stream(client: &Client, device: &Device) -> Outcome<Line> {
    let mut stream = client.connect().await?;
    stream.send("GET", STREAM, &device.headers(), b"").await?;
    wait_for(&mut stream, "connected").await?;
    Ok(stream)
}

async fn wait_for(stream: &mut Line, reason: &str) -> Outcome<()> {
    let end = format!("{{\"reason\":\"{reason}\"}}");
    let heard = tokio::time::timeout(PATIENCE, stream.until(end.as_bytes())).await;
    heard.map_err(|_| format!("no wake-up for {reason}"))??;
    Ok(())
}
