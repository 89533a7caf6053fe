//! A clock that the simulation turns, for a server that is started under it (`tools/torture/shim.c`): its windows, half-lives,
//! exposures, and its policy of retraining go by the days that are simulated.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::shim::{Order, Orders};

/// Nothing is below it: no file fails.
const NO_FILE: &str = "/dev/null";

pub struct Clock {
    orders: Orders,
    /// By how many seconds it is off.
    shift: AtomicI64,
}

impl Clock {
    pub fn new() -> Result<Self> {
        Ok(Self { orders: Orders::new()?, shift: AtomicI64::new(i64::MIN) })
    }

    /// A process that is started by this has it.
    pub fn over(&self, command: &mut Command) {
        self.orders.over(command, Path::new(NO_FILE));
    }

    /// It is this time, in milliseconds since 1970, or up to a second later, and goes on from there. It is never set back.
    pub fn set(&self, millis: i64) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
        let shift = (millis - now).div_euclid(1000) + 1;
        let before = self.shift.fetch_max(shift, Ordering::Relaxed);
        Ok(self.orders.give(Order::ClockSeconds, before.max(shift))?)
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
