//! `fleet-control tenant`: organisations, made and shut out on the control plane's own machine, also while it runs.

use std::path::Path;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use fleet_control::app::tenants::create_tenant;
use fleet_control::clock::{Clock, random_id};
use fleet_control::server::PublicUrl;
use fleet_control::store::Store;
use fleet_protocol::TenantId;
use tokio::runtime::Builder;

use crate::Home;

#[derive(Debug, Args)]
pub(crate) struct TenantArgs {
    #[command(flatten)]
    home: Home,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Make a tenant, and print a link by which its first administrator lets themselves in.
    Create {
        name: String,
        /// Its id; default: one that is made up.
        #[arg(long, value_name = "ten_…")]
        id: Option<TenantId>,
        /// How browsers reach the control plane; default: the address that it listened on last.
        #[arg(long, value_name = "URL")]
        public_url: Option<PublicUrl>,
    },
    /// List tenants.
    List,
    /// Give a tenant another name: it stands in mails.
    Rename { id: TenantId, name: String },
    /// Shut a tenant out: its users, keys and devices, from their next request on.
    Disable { id: TenantId },
    /// Let a tenant in again.
    Enable { id: TenantId },
}

pub(crate) fn run(args: TenantArgs) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(act(args))
}

async fn act(args: TenantArgs) -> anyhow::Result<()> {
    let store = args.home.store().await?;
    let now = Clock::system().now();
    let done = match args.command {
        TenantCommand::Create {
            name,
            id,
            public_url,
        } => {
            let id = id.unwrap_or_else(|| random_id("ten_"));
            let url = match public_url {
                Some(url) => url.to_string(),
                None => address(&args.home.data)?,
            };
            let link = create_tenant(&store, &url, &id, &name, now).await?;
            if args.json {
                let invitation =
                    serde_json::json!({"link": link.url, "expiresAt": link.expires_at});
                let created =
                    serde_json::json!({"tenantId": id, "name": name, "invitation": invitation});
                println!("{created}");
            } else {
                println!("{id} is there. Its first administrator chooses a password at");
                println!("  {}", link.url);
                println!("until {}.", link.expires_at);
            }
            Ok(())
        }
        TenantCommand::Rename { id, name } => found(&id, store.rename_tenant(&id, &name).await?),
        TenantCommand::List => list(&store, args.json).await,
        TenantCommand::Disable { id } => found(&id, store.disable_tenant(&id, Some(now)).await?),
        TenantCommand::Enable { id } => found(&id, store.disable_tenant(&id, None).await?),
    };
    store.close().await;
    done
}

fn address(data: &Path) -> anyhow::Result<String> {
    let path = data.join("address");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "read {}; start `fleet-control serve` once, or give --public-url",
            path.display()
        )
    })?;
    Ok(format!("https://{}", text.trim()))
}

fn found(id: &TenantId, found: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        found,
        "there is no tenant {id}; see `fleet-control tenant list`"
    );
    Ok(())
}

async fn list(store: &Store, json: bool) -> anyhow::Result<()> {
    for row in store.tenants().await? {
        let state = row.disabled_at.map_or("", |_| "disabled");
        if json {
            let line = serde_json::json!({
                "tenantId": row.tenant_id, "name": row.name, "createdAt": row.created_at,
                "disabledAt": row.disabled_at, "users": row.users, "devices": row.devices,
            });
            println!("{line}");
        } else {
            let (id, name, users, devices) = (row.tenant_id, row.name, row.users, row.devices);
            println!("{id:<26} {name:<24} {users:>5} users {devices:>7} devices  {state}");
        }
    }
    Ok(())
}
