//! A server in a process of its own.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// Ended when it is dropped.
pub struct Server {
    pub process: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts a command whose first line of output ends with its address.
    pub fn start(command: &mut Command) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        match line.trim_end().rsplit('/').next().and_then(|address| address.parse().ok()) {
            Some(address) => Ok(Self { process, address }),
            None => {
                process.kill()?;
                Err(format!("{command:?} did not tell its address: {line:?}").into())
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
