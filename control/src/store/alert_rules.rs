//! The rules of each tenant, once it has changed them.

use fleet_protocol::alert::{AlertRules, AlertRulesView};
use jiff::Timestamp;
use sqlx::Row as _;

use super::{Store, StoreError, TenantContext, count, from_json, instant, ms, signed, to_json};

impl Store {
    pub async fn alert_rules(&self, ctx: &TenantContext) -> Result<AlertRulesView, StoreError> {
        let row =
            sqlx::query("SELECT version, rules, updated_ms FROM alert_rules WHERE tenant_id = $1")
                .bind(ctx.key())
                .fetch_optional(&self.read)
                .await?;
        let Some(row) = row else {
            return Ok(AlertRulesView {
                version: 0,
                updated_at: None,
                rules: AlertRules::default(),
            });
        };
        Ok(AlertRulesView {
            version: count(row.try_get("version")?),
            updated_at: Some(instant(row.try_get("updated_ms")?)?),
            rules: from_json("alert rules", row.try_get("rules")?)?,
        })
    }

    /// Replaces them if `expected` is their present version. False: it is not.
    pub async fn put_alert_rules(
        &self,
        ctx: &TenantContext,
        rules: &AlertRules,
        expected: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO alert_rules (tenant_id, version, rules, updated_ms)
             SELECT $1, 1, $3, $4 FROM tenants WHERE tenant_id = $1
                 AND ($2 = 0 OR EXISTS (SELECT 1 FROM alert_rules WHERE tenant_id = $1))
             ON CONFLICT (tenant_id) DO UPDATE SET
                 version = alert_rules.version + 1, rules = excluded.rules, updated_ms = excluded.updated_ms
                 WHERE alert_rules.version = $2",
        )
        .bind(ctx.key())
        .bind(signed(expected))
        .bind(to_json(rules))
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
