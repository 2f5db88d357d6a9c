//! `fleet bundle list` and `prune`: what lies on the control plane.

use fleet_protocol::device::Page;
use fleet_protocol::release::{BundlesPruned, PruneBundles, StoredBundle};

use super::PruneArgs;
use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::output::{Output, human_bytes};

pub(super) fn list(client: &Client, output: Output) -> Result<()> {
    let page: Page<StoredBundle> = client.get("/v1/bundles")?;
    output.result(&page, |page| {
        if page.items.is_empty() {
            return "No bundles yet.\n".to_owned();
        }
        table(&page.items, output)
    });
    Ok(())
}

pub(super) fn prune(args: &PruneArgs, client: &Client, output: Output) -> Result<()> {
    let age = u32::try_from(args.older_than.as_secs()).map_err(|_| {
        CommandError::usage("--older-than is too long").hint("give at most 100 years")
    })?;
    let request = PruneBundles {
        older_than_seconds: Some(age),
        dry_run: args.dry_run,
    };
    let pruned: BundlesPruned = client.post("/v1/bundles/prune", &request)?;
    output.result(&pruned, |pruned| {
        if pruned.items.is_empty() {
            return "Nothing to delete: every bundle belongs to a release, or is too new.\n"
                .to_owned();
        }
        let done = if args.dry_run {
            "would be freed"
        } else {
            "freed"
        };
        let size = human_bytes(pruned.freed_bytes);
        format!("{}{size} {done}\n", table(&pruned.items, output))
    });
    Ok(())
}

fn table(bundles: &[StoredBundle], output: Output) -> String {
    let row = |bundle: &StoredBundle| {
        let releases: Vec<_> = bundle.releases.iter().map(ToString::to_string).collect();
        vec![
            bundle.sha256.to_string(),
            human_bytes(bundle.size_bytes),
            bundle.received_at.strftime("%Y-%m-%d %H:%M").to_string(),
            releases.join(", "),
        ]
    };
    let rows: Vec<_> = bundles.iter().map(row).collect();
    output.table(&["sha256", "size", "received (UTC)", "releases"], &rows)
}
