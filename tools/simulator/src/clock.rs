//! A clock that the simulation turns, for a server that is started under it (`tools/torture/shim.c`): its windows, half-lives,
//! exposures, and its policy of retraining go by the days that are simulated.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::Result;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../torture/shim.c");
/// The orders that the shim takes are numbers of 64 bits.
const ORDERS: usize = 8;
const ROOM: u64 = 2;
const CLOCK_SECONDS: u64 = 5;

pub struct Clock {
    folder: TempDir,
    orders: File,
    /// By how many seconds it is off.
    shift: AtomicI64,
}

impl Clock {
    /// Compiles the shim.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let built = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("shim.so"))
            .arg(SOURCE)
            .status()
            .map_err(|error| format!("cc: {error}; a server is started under a clock that is written in C"))?;
        if !built.success() {
            return Err(format!("cc cannot compile {SOURCE}").into());
        }
        let orders = File::options().read(true).write(true).create_new(true).open(folder.path().join("orders"))?;
        let clock = Self { folder, orders, shift: AtomicI64::new(i64::MIN) };
        (0..ORDERS).try_for_each(|order| clock.order(order as u64, 0))?;
        clock.order(ROOM, -1)?;
        Ok(clock)
    }

    /// A process that is started by this has it.
    pub fn over(&self, command: &mut Command) {
        let path = |name: &str| -> PathBuf { self.folder.path().join(name) };
        // It fails no file.
        command.env("LD_PRELOAD", path("shim.so")).env("SAVOR_SHIM", path("orders"));
        command.env("SAVOR_SHIM_UNDER", path("nothing"));
    }

    /// It is this time, in milliseconds since 1970, or up to a second later, and goes on from there. It is never set back.
    pub fn set(&self, millis: i64) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
        let shift = (millis - now).div_euclid(1000) + 1;
        let before = self.shift.fetch_max(shift, Ordering::Relaxed);
        self.order(CLOCK_SECONDS, before.max(shift))
    }

    fn order(&self, order: u64, value: i64) -> Result<()> {
        Ok(self.orders.write_all_at(&value.to_ne_bytes(), order * 8)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_under_it_has_its_time() {
        let clock = Clock::new().unwrap();
        let millis = 1_767_225_600_000;
        clock.set(millis).unwrap();
        let mut command = Command::new("date");
        clock.over(command.arg("+%s"));
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let seconds: i64 = said.trim().parse().unwrap();
        assert!((0..60).contains(&(seconds - millis / 1000)), "{said}");
        clock.set(millis - 3_600_000).unwrap();
        let later = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(later.trim().parse::<i64>().unwrap() >= seconds, "{said}, then {later}");
    }
}
