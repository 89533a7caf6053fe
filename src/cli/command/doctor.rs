//! `savor doctor`: checks the data directory and all its tenants, or one of them; the exit code tells whether all is well.

use crate::cli::args::DoctorArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::table;
use crate::engine::{Engine, Finding, Tenants};
use crate::error::Error;

pub fn run(context: &Context, args: &DoctorArgs) -> Result<(), Failure> {
    let engine = context.open()?;
    let check = |engine: &Engine| -> Result<Vec<Finding>, Error> {
        let mut findings = engine.check()?;
        if args.verify {
            findings.extend(engine.verify()?);
        }
        if args.skew {
            findings.extend(engine.check_skew()?);
        }
        Ok(findings)
    };
    let findings = match context.tenant() {
        Some(_) => check(&engine)?,
        None => Tenants::around(engine)?.check_all(check)?,
    };
    context.output.show(&findings, |findings| {
        let mut table = table(&["check", "", "seen"], &[]);
        for finding in findings {
            table.add_row([finding.check.as_str(), if finding.ok { "ok" } else { "WRONG" }, finding.detail.as_str()]);
        }
        table.trim_fmt()
    })?;
    if findings.iter().all(|finding| finding.ok) { Ok(()) } else { Err(Failure::Shown) }
}
