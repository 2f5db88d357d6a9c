//! What a transaction does with rows: drop, mark as a batch, read.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Limits, Row, Stream};
use jiff::Timestamp;

/// Half of what a control plane takes in one request.
pub(super) const MAX_BATCH_BYTES: usize = 512 * 1024;

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn count(tx: &Transaction<'_>, stream: Stream) -> rusqlite::Result<u64> {
    tx.prepare("SELECT count(*) FROM entry WHERE stream = ?1")?
        .query_row([stream.number()], |row| row.get(0))
        .map(unsigned)
}

/// Drops what is too old or too much, and counts it.
pub(super) fn trim(
    tx: &Transaction<'_>,
    stream: Stream,
    limits: Limits,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let max_age_ms = signed(limits.max_age_s).saturating_mul(1_000);
    let oldest_ms = now.as_millisecond().saturating_sub(max_age_ms);
    let mut dropped = tx
        .prepare("DELETE FROM entry WHERE stream = ?1 AND at_ms < ?2")?
        .execute(params![stream.number(), oldest_ms])?;
    let surplus = count(tx, stream)?.saturating_sub(limits.max_rows);
    if surplus > 0 {
        dropped += tx
            .prepare(
                "DELETE FROM entry WHERE seq IN
                 (SELECT seq FROM entry WHERE stream = ?1 ORDER BY seq LIMIT ?2)",
            )?
            .execute(params![stream.number(), signed(surplus)])?;
    }
    count_dropped(tx, stream, dropped)
}

fn count_dropped(tx: &Transaction<'_>, stream: Stream, dropped: usize) -> rusqlite::Result<()> {
    if dropped == 0 {
        return Ok(());
    }
    tx.prepare(
        "INSERT INTO tally (stream, dropped) VALUES (?1, ?2)
         ON CONFLICT (stream) DO UPDATE SET dropped = dropped + excluded.dropped",
    )?
    .execute(params![stream.number(), signed(dropped as u64)])
    .map(drop)
}

/// The id of the batch that is to be sent, which is made of the oldest rows if there is none.
pub(super) fn open_batch(tx: &Transaction<'_>, stream: Stream) -> rusqlite::Result<Option<String>> {
    let open = tx
        .prepare(
            "SELECT batch FROM entry WHERE stream = ?1 AND batch IS NOT NULL ORDER BY seq LIMIT 1",
        )?
        .query_row([stream.number()], |row| row.get(0))
        .optional()?;
    if open.is_some() {
        return Ok(open);
    }
    let Some(last) = last_of_new_batch(tx, stream)? else {
        return Ok(None);
    };
    let id: String = tx.query_row("SELECT 'bat_' || lower(hex(randomblob(16)))", [], |row| {
        row.get(0)
    })?;
    tx.prepare("UPDATE entry SET batch = ?1 WHERE stream = ?2 AND seq <= ?3")?
        .execute(params![id, stream.number(), last])?;
    Ok(Some(id))
}

/// At least one row, at most what a request may hold.
fn last_of_new_batch(tx: &Transaction<'_>, stream: Stream) -> rusqlite::Result<Option<i64>> {
    let mut statement = tx.prepare(
        "SELECT seq, length(CAST(json AS BLOB)) FROM entry WHERE stream = ?1 ORDER BY seq LIMIT ?2",
    )?;
    let max_rows = signed(stream.max_rows_per_batch() as u64);
    let mut rows = statement.query(params![stream.number(), max_rows])?;
    let mut last = None;
    let mut bytes = 0usize;
    while let Some(row) = rows.next()? {
        bytes += usize::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        if last.is_some() && bytes > MAX_BATCH_BYTES {
            break;
        }
        last = Some(row.get(0)?);
    }
    Ok(last)
}

/// Rows that are not understood are left out.
pub(super) fn read_batch<R: Row>(
    tx: &Transaction<'_>,
    stream: Stream,
    id: &str,
) -> rusqlite::Result<Vec<R>> {
    let mut statement =
        tx.prepare("SELECT json FROM entry WHERE stream = ?1 AND batch = ?2 ORDER BY seq")?;
    let rows = statement.query_map(params![stream.number(), id], |row| row.get::<_, String>(0))?;
    let mut read = Vec::new();
    for json in rows {
        let json = json?;
        read.extend(serde_json::from_str::<R>(&json));
    }
    Ok(read)
}

pub(super) fn drop_batch(tx: &Transaction<'_>, stream: Stream, id: &str) -> rusqlite::Result<()> {
    let dropped = tx
        .prepare("DELETE FROM entry WHERE stream = ?1 AND batch = ?2")?
        .execute(params![stream.number(), id])?;
    count_dropped(tx, stream, dropped)
}
