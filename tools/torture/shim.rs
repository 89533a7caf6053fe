//! The other side of `shim.c`: compiles it, gives it its orders, and starts processes under it. For the tests of faults and
//! for the simulator, which include this file.

use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// In the order in which the shim reads them: numbers of 64 bits.
#[derive(Clone, Copy)]
pub enum Order {
    SyncError,
    WriteError,
    Room,
    ShortWrites,
    ReadError,
    ClockSeconds,
    ReadOnly,
    Injected,
}

const SOURCE: &str = include_str!("shim.c");
const ORDERS: u64 = Order::Injected as u64 + 1;

pub struct Orders {
    /// The library and the file of the orders.
    folder: TempDir,
    file: File,
}

impl Orders {
    /// Nothing fails yet.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let source = folder.path().join("shim.c");
        std::fs::write(&source, SOURCE)?;
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(folder.path().join("shim.so")).arg(source);
        let built = cc.status().map_err(|error| Error::new(error.kind(), format!("cc: {error}")))?;
        if !built.success() {
            return Err(Error::other("cc cannot compile tools/torture/shim.c"));
        }
        let file = File::options().read(true).write(true).create_new(true).open(folder.path().join("orders"))?;
        file.set_len(ORDERS * 8)?;
        let orders = Self { folder, file };
        orders.give(Order::Room, -1)?;
        Ok(orders)
    }

    /// Holds from the next call of the system on.
    pub fn give(&self, order: Order, value: i64) -> Result<()> {
        self.file.write_all_at(&value.to_ne_bytes(), order as u64 * 8)
    }

    /// Calls that were made to fail until now.
    pub fn injected(&self) -> Result<i64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, Order::Injected as u64 * 8)?;
        Ok(i64::from_ne_bytes(bytes))
    }

    /// A process that is started by this is under them; only files below `under`, a canonical path, fail.
    pub fn over(&self, command: &mut Command, under: &Path) {
        command.env("LD_PRELOAD", self.folder.path().join("shim.so"));
        command.env("SAVOR_SHIM", self.folder.path().join("orders")).env("SAVOR_SHIM_UNDER", under);
    }
}
