//! Webhooks: whom alerts are told to.

use fleet_protocol::WebhookId;
use fleet_protocol::device::Page;
use fleet_protocol::webhook::{DeliveryView, PutWebhook, WebhookCreated, WebhookView};

use super::enrolment::check_name;
use super::error::{Error, Kind, Refusal, no_such, stale};
use super::{App, PageRequest};
use crate::clock::{random_bytes, random_id};
use crate::domain::webhooks::signature::secret;
use crate::domain::webhooks::target::{Target, TargetError};
use crate::store::{NewWebhook, TenantContext};

const WEBHOOK_LIST: &str = "`fleet webhook list` (GET /v1/webhooks)";
/// Each is told of every alert.
const MOST: u32 = 20;

impl App {
    /// Makes one; its secret is in the answer, and in no other.
    pub async fn create_webhook(
        &self,
        ctx: &TenantContext,
        given: PutWebhook,
    ) -> Result<WebhookCreated, Error> {
        self.check_webhook(&given)?;
        let webhook = NewWebhook {
            webhook_id: random_id("whk_"),
            secret: secret(&random_bytes()),
            given,
        };
        if !self
            .store
            .add_webhook(ctx, &webhook, MOST, self.now())
            .await?
        {
            let detail = format!("there are {MOST} webhooks already");
            let hint = "delete one that is not needed: `fleet webhook delete`";
            return Err(Refusal::new(Kind::Conflict, "TOO_MANY_WEBHOOKS", detail, hint).into());
        }
        let id = &webhook.webhook_id;
        tracing::info!(webhook.id = %id, operator = ctx.actor_name(), "webhook made");
        Ok(WebhookCreated {
            webhook: self.webhook(ctx, id).await?,
            secret: webhook.secret,
        })
    }

    pub async fn webhooks(&self, ctx: &TenantContext) -> Result<Vec<WebhookView>, Error> {
        Ok(self.store.webhooks(ctx).await?)
    }

    pub async fn webhook(&self, ctx: &TenantContext, id: &WebhookId) -> Result<WebhookView, Error> {
        let found = self.store.webhook(ctx, id).await?;
        found.ok_or_else(|| no_such("webhook", id, WEBHOOK_LIST))
    }

    /// Replaces everything but its secret, if it is still at version `expected`.
    pub async fn put_webhook(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
        expected: u64,
        given: &PutWebhook,
    ) -> Result<WebhookView, Error> {
        self.check_webhook(given)?;
        let now = self.now();
        let put = self
            .store
            .put_webhook(ctx, id, given, expected, now)
            .await?;
        let view = self.webhook(ctx, id).await?;
        if !put {
            return Err(stale("webhook", view.version));
        }
        self.deliver_soon();
        tracing::info!(webhook.id = %id, operator = ctx.actor_name(), "webhook changed");
        Ok(view)
    }

    /// With what was or was to be sent to it.
    pub async fn delete_webhook(&self, ctx: &TenantContext, id: &WebhookId) -> Result<(), Error> {
        if !self.store.remove_webhook(ctx, id).await? {
            return Err(no_such("webhook", id, WEBHOOK_LIST));
        }
        tracing::info!(webhook.id = %id, operator = ctx.actor_name(), "webhook deleted");
        Ok(())
    }

    /// Sends it a message that says nothing, once, and says how that went.
    pub async fn test_webhook(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
    ) -> Result<DeliveryView, Error> {
        let message = self.store.add_test_delivery(ctx, id, self.now()).await?;
        let message = message.ok_or_else(|| no_such("webhook", id, WEBHOOK_LIST))?;
        self.deliver(ctx, &message, 1).await?;
        let tried = self.store.delivery(ctx, &message.delivery_id).await?;
        // It may have been deleted while it was tried.
        tried.ok_or_else(|| no_such("webhook", id, WEBHOOK_LIST))
    }

    /// Newest first.
    pub async fn deliveries(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
        page: &PageRequest,
    ) -> Result<Page<DeliveryView>, Error> {
        self.webhook(ctx, id).await?;
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self.store.deliveries(ctx, id, before, limit).await?;
        Ok(page.placed(rows))
    }

    fn check_webhook(&self, given: &PutWebhook) -> Result<(), Error> {
        check_name("name", &given.name)?;
        let Err(wrong) = Target::parse(&given.url, self.outbound.reach()) else {
            return Ok(());
        };
        let hint = match wrong {
            TargetError::Private(_) | TargetError::NotHttps => {
                "give a public address; who runs the control plane can allow others: `--webhooks-everywhere`"
            }
            _ => "give one like https://example.org/hook?key=…",
        };
        Err(Refusal::field("url", wrong.to_string(), hint).into())
    }
}
