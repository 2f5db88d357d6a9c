//! The record of who did what (seed 003, §25.9), and whether it still holds together.

use fleet_protocol::access::{AuditCheck, AuditEntry};
use fleet_protocol::device::Page;

use super::error::Error;
use super::{App, PageRequest};
use crate::store::{BEGINNING, TenantContext};

/// Entries that are read at a time.
const CHUNK: u32 = 1_000;

impl App {
    pub async fn append_audit(&self, ctx: &TenantContext, entry: AuditEntry) -> Result<(), Error> {
        Ok(self.store.append_audit(ctx, entry).await?)
    }

    /// Newest first; `text` is part of an entry.
    pub async fn audit(
        &self,
        ctx: &TenantContext,
        text: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, Error> {
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self.store.audit(ctx, text, before, limit).await?;
        Ok(page.page(rows, |entry| entry.sequence.to_string(), |entry| entry))
    }

    /// The entries after `after`, oldest first: sequence, and a line of JSON. None: that was all.
    pub async fn audit_lines(
        &self,
        ctx: &TenantContext,
        after: u64,
    ) -> Result<Vec<(u64, String)>, Error> {
        Ok(self.store.audit_after(ctx, after, CHUNK).await?)
    }

    /// Reads the whole chain.
    pub async fn check_audit(&self, ctx: &TenantContext) -> Result<AuditCheck, Error> {
        let (mut sequence, mut head) = (0, BEGINNING);
        loop {
            let lines = self.audit_lines(ctx, sequence).await?;
            let last = lines.len() < CHUNK as usize;
            for (_, line) in lines {
                let entry: Option<AuditEntry> = serde_json::from_str(&line).ok();
                match entry.filter(|entry| entry.follows(sequence, &head)) {
                    Some(entry) => {
                        sequence = entry.sequence;
                        head = entry.hash.unwrap_or(BEGINNING);
                    }
                    None => {
                        return Ok(AuditCheck {
                            entries: sequence,
                            head,
                            broken_at: Some(sequence + 1),
                        });
                    }
                }
            }
            if last {
                return Ok(AuditCheck {
                    entries: sequence,
                    head,
                    broken_at: None,
                });
            }
        }
    }
}
