//! Tenants as tables.

use super::{count, pairs, table};
use crate::engine::{TenantState, TenantStatus};

/// One line each.
pub fn list(tenants: &[TenantStatus]) -> String {
    let mut table = table(&["tenant", "state", "users", "items", "events", "bytes on disk", "title"], &[2, 3, 4, 5]);
    for tenant in tenants {
        let used = tenant.usage.as_ref();
        let number = |number: Option<u64>| number.map(count).unwrap_or_default();
        table.add_row([
            tenant.name.to_string(),
            state(tenant.state).to_owned(),
            number(used.map(|used| used.users)),
            number(used.map(|used| used.items)),
            number(used.map(|used| used.events)),
            number(used.map(|used| used.storage_bytes)),
            tenant.settings.as_ref().and_then(|settings| settings.title.clone()).unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

/// Everything of one.
pub fn one(tenant: &TenantStatus) -> String {
    let text = |text: Option<String>| text.unwrap_or_default();
    let settings = tenant.settings.as_ref();
    let about = pairs(&[
        ("tenant".into(), tenant.name.to_string()),
        ("state".into(), state(tenant.state).into()),
        ("reason".into(), text(tenant.reason.clone())),
        ("title".into(), text(settings.and_then(|settings| settings.title.clone()))),
        ("created".into(), text(tenant.created.map(|created| created.to_string()))),
        ("snapshot".into(), text(tenant.usage.as_ref().and_then(|used| used.active_snapshot).map(|id| id.to_string()))),
    ]);
    let (quotas, used) = (&tenant.quotas, tenant.usage.as_ref());
    let mut of = table(&["quota", "used", "of"], &[1, 2]);
    let limit = |limit: Option<u64>| limit.map_or_else(|| "no limit".into(), count);
    let rate = |limit: Option<f64>| limit.map_or_else(|| "no limit".into(), |limit| limit.to_string());
    let number = |number: Option<u64>| number.map(count).unwrap_or_default();
    let minutes = used.map(|used| format!("{:.1}", used.training_minutes)).unwrap_or_default();
    for row in [
        ["items".into(), number(used.map(|used| used.items)), limit(quotas.items)],
        ["users".into(), number(used.map(|used| used.users)), limit(quotas.users)],
        ["events".into(), number(used.map(|used| used.events)), limit(quotas.events)],
        ["storage_bytes".into(), number(used.map(|used| used.storage_bytes)), limit(quotas.storage_bytes)],
        ["backup_bytes".into(), String::new(), limit(quotas.backup_bytes())],
        ["training_minutes".into(), minutes, rate(quotas.training_minutes)],
        ["snapshot_bytes".into(), String::new(), limit(quotas.snapshot_bytes)],
        ["events_per_second".into(), String::new(), rate(quotas.events_per_second)],
        ["requests_per_second".into(), String::new(), rate(quotas.requests_per_second)],
        ["concurrent_requests".into(), String::new(), limit(quotas.concurrent_requests.map(|most| most as u64))],
    ] {
        of.add_row::<[String; 3]>(row);
    }
    let config = settings.filter(|settings| !settings.config.is_empty());
    let config = config.map(|settings| format!("\n\n{}", settings.config)).unwrap_or_default();
    format!("{about}\n\n{}{config}", of.trim_fmt())
}

fn state(state: TenantState) -> &'static str {
    match state {
        TenantState::Open => "open",
        TenantState::Closed => "closed",
        TenantState::Closing => "closing",
        TenantState::Broken => "BROKEN",
    }
}
