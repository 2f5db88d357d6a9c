//! Brings messages to webhooks. What is to be sent was written down together with what it tells of, and stays there
//! until it was taken or given up: a control plane that ends in between costs a receiver the same message twice at most,
//! under the same id.

use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::WebhookId;
use futures_util::StreamExt as _;
use jiff::SignedDuration;

use super::App;
use super::error::Error;
use crate::clock::random_number;
use crate::domain::webhooks::target::Target;
use crate::domain::webhooks::{Attempt, MAX_ATTEMPTS, is_hopeless, next, signature};
use crate::metrics::Task;
use crate::outbound::OutboundError;
use crate::store::{TenantContext, ToDeliver};

const TICK: Duration = Duration::from_secs(5);
/// Webhooks that are sent to at the same time: each holds a turn.
const AT_ONCE: usize = 4;
/// To one webhook, before others have their turn.
const IN_A_ROW: u32 = 50;
/// After that messages are forgotten, whatever became of them.
const DELIVERIES_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

impl App {
    /// Lets what was written down be sent as soon as it can.
    pub(super) fn deliver_soon(&self) {
        self.messages.notify_one();
    }

    /// Runs until the control plane is shut down. A failure is logged and tried again.
    pub async fn run_deliveries(self: Arc<Self>) {
        let mut shutdown = self.shutdown_signal();
        loop {
            let delivered = tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                delivered = self.measured(Task::Deliver, self.deliver_all()) => delivered,
            };
            if let Err(error) = delivered {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "finding messages to webhooks failed"
                );
            }
            tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                () = self.messages.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Everything that is due. What goes wrong with one webhook holds up no other.
    pub async fn deliver_all(&self) -> Result<(), Error> {
        let _one_at_a_time = self.delivering.lock().await;
        let mut due: Vec<(TenantContext, WebhookId)> = Vec::new();
        for ctx in self.store.all_tenants().await? {
            let webhooks = self.store.webhooks_due(&ctx, self.now()).await?;
            due.extend(webhooks.into_iter().map(|id| (ctx.clone(), id)));
        }
        let each = |(ctx, id): (TenantContext, WebhookId)| async move {
            if let Err(error) = self.deliver_to(&ctx, &id).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    webhook.id = %id, "sending to a webhook failed"
                );
            }
        };
        futures_util::stream::iter(due)
            .for_each_concurrent(AT_ONCE, each)
            .await;
        Ok(())
    }

    /// What is due for one webhook, in the order in which it happened, up to the first message that is not taken.
    async fn deliver_to(&self, ctx: &TenantContext, id: &WebhookId) -> Result<(), Error> {
        let Some(_turn) = self.store.try_turn(&format!("deliver to {id}")).await? else {
            return Ok(());
        };
        let messages = self.store.deliveries_due(ctx, id, self.now(), IN_A_ROW);
        for message in messages.await? {
            if !self.deliver(ctx, &message, MAX_ATTEMPTS).await? {
                break;
            }
        }
        Ok(())
    }

    /// One attempt of at most `most`, and what comes after it. Says whether the message was taken.
    pub(super) async fn deliver(
        &self,
        ctx: &TenantContext,
        message: &ToDeliver,
        most: u32,
    ) -> Result<bool, Error> {
        let attempt = self.attempt(message).await;
        let (now, attempts) = (self.now(), message.attempts + 1);
        let after = next(&attempt, attempts, most, now, random_number());
        let id = &message.delivery_id;
        self.store
            .put_attempt(ctx, id, &attempt, after, now)
            .await?;
        let webhook = &message.webhook_id;
        let Some(failure) = &attempt.failure else {
            self.store.webhook_works(ctx, webhook).await?;
            return Ok(true);
        };
        tracing::info!(
            webhook.id = %webhook, delivery.id = %id, delivery.attempts = attempts, "a webhook took no message: {failure}"
        );
        let since = self
            .store
            .webhook_failed(ctx, webhook, failure, now)
            .await?;
        if attempt.is_farewell() || since.is_some_and(|since| is_hopeless(since, now)) {
            self.store.disable_webhook(ctx, webhook, now).await?;
            tracing::warn!(webhook.id = %webhook, "webhook switched off: it took nothing for days, or said that it is gone");
        }
        Ok(false)
    }

    async fn attempt(&self, message: &ToDeliver) -> Attempt {
        let (id, now) = (&message.delivery_id, self.now());
        let target = match Target::parse(&message.url, self.outbound.reach()) {
            Ok(target) => target,
            Err(wrong) => return Attempt::failed(format!("the address {wrong}")),
        };
        let Some(signature) = signature::sign(&message.secret, id.as_str(), now, &message.body)
        else {
            return Attempt::failed("its secret is damaged: make it anew".to_owned());
        };
        let at = now.as_second().to_string();
        let headers = [
            ("webhook-id", id.as_str()),
            ("webhook-timestamp", at.as_str()),
            ("webhook-signature", signature.as_str()),
        ];
        match self
            .outbound
            .post(&target, &headers, message.body.clone())
            .await
        {
            Ok(status) => Attempt::answered(status),
            Err(error) => Attempt::failed(sentence(&error)),
        }
    }

    /// Housekeeping.
    pub(super) async fn forget_deliveries(&self, ctx: &TenantContext) -> Result<(), Error> {
        let before = self.now() - DELIVERIES_KEPT;
        Ok(self.store.forget_deliveries(ctx, before).await?)
    }
}

/// The error with its causes.
fn sentence(error: &OutboundError) -> String {
    let mut all = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        all.push(error.to_string());
        cause = error.source();
    }
    all.join(": ")
}
