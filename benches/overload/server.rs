//! The server that is overloaded, and what the kernel says of it.

#[path = "../server/mod.rs"]
mod process;

use std::path::Path;
use std::process::Command;

pub use process::Server;

use super::Result;

impl Server {
    /// Starts `savor serve` on the first processor, where `is_pinned`.
    pub fn serve(data: &Path, settings: &[String], is_pinned: bool) -> Result<Self> {
        let savor = env!("CARGO_BIN_EXE_savor");
        let mut command = match is_pinned {
            true => Command::new("taskset"),
            false => Command::new(savor),
        };
        if is_pinned {
            command.args(["-c", "0", savor]);
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        for setting in settings {
            command.args(["--set", setting]);
        }
        Self::start(&mut command)
    }

    /// Resident memory, and the most there was.
    pub fn memory_mib(&self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// The most resident memory that there was.
    pub fn peak_mib(&self) -> Result<f64> {
        self.status("VmHWM:")
    }

    /// Seconds of processor time.
    pub fn seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        Ok((ticks(11) + ticks(12)) / 100.0)
    }

    fn status(&self, name: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no memory in /proc")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}
