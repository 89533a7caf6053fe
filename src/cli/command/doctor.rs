//! `savor doctor`: checks the data directory and all its tenants, or one of them; the exit code tells whether all is well.
//! `--repair` says what could be made anew, and does it when it is told to.

use crate::cli::args::DoctorArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::{count, table};
use crate::engine::{Engine, Fault, Finding, Tenants};
use crate::error::Error;

pub fn run(context: &Context, args: &DoctorArgs) -> Result<(), Failure> {
    if args.repair {
        repair(context, args.yes)?;
        if !args.yes {
            return Ok(());
        }
    }
    let engine = context.open()?;
    let check = |engine: &Engine| -> Result<Vec<Finding>, Error> {
        let mut findings = engine.check()?;
        if args.verify || args.repair {
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
    context.output.show(&findings, |findings| report(findings))?;
    if findings.iter().all(|finding| finding.ok) { Ok(()) } else { Err(Failure::Shown) }
}

fn report(findings: &[Finding]) -> String {
    let mut table = table(&["check", "", "seen"], &[]);
    for finding in findings {
        table.add_row([finding.check.as_str(), if finding.ok { "ok" } else { "WRONG" }, finding.detail.as_str()]);
    }
    table.trim_fmt()
}

/// Lists what would be mended, or mends it. Errors: when it lists something.
fn repair(context: &Context, is_wanted: bool) -> Result<(), Failure> {
    // Also refuses a directory that is not there.
    let faults = context.open()?.faults()?;
    let can_be = faults.iter().any(|fault| fault.repair.is_some());
    if is_wanted && can_be {
        Engine::repair(&context.data, &context.config()?)?;
    }
    context.output.show(&faults, |faults| match faults.is_empty() {
        true => "nothing is to be mended".into(),
        false => {
            let end = match (is_wanted, can_be) {
                (true, _) => "",
                (false, true) => "\n`savor doctor --repair --yes` does it; make a backup of the directory first",
                (false, false) => "\nnothing of it can be mended: restore a backup",
            };
            format!("{}{end}", mending(faults))
        }
    })?;
    if is_wanted || faults.is_empty() { Ok(()) } else { Err(Failure::Shown) }
}

fn mending(faults: &[Fault]) -> String {
    let mut table = table(&["not as it should be", "entries", "such as", "repair"], &[1]);
    for fault in faults {
        let repair = fault.repair.as_deref().unwrap_or("none: restore a backup");
        table.add_row([fault.check.as_str(), &count(fault.entries), &fault.example, repair]);
    }
    table.trim_fmt()
}
