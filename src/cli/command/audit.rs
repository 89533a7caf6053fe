//! `savor audit`: what was done, by which key, and who was not let in.

use crate::cli::args::AuditArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::table;
use crate::engine::AuditQuery;
use crate::record::AuditEntry;

pub fn run(context: &Context, args: AuditArgs) -> Result<(), Failure> {
    let AuditArgs { limit, before, key, user } = args;
    let query = AuditQuery { limit, before, key, user, ..AuditQuery::default() };
    context.output.show(&context.place()?.audit_log(&query)?, |entries| list(entries))
}

fn list(entries: &[AuditEntry]) -> String {
    let mut table = table(&["time", "key", "from", "action", "target", "outcome", "omitted before"], &[6]);
    for entry in entries {
        let code = entry.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
        table.add_row([
            entry.time.to_string(),
            entry.key.clone().unwrap_or_default(),
            entry.from.clone(),
            entry.action.clone(),
            entry.target.clone(),
            format!("{}{code}", entry.outcome),
            if entry.omitted == 0 { String::new() } else { entry.omitted.to_string() },
        ]);
    }
    table.trim_fmt()
}
