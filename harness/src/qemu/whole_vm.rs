//! What QEMU's monitor does to a whole VM: moves it to another QEMU, saves it and goes back, stops it, resets it.

use super::monitor::{Monitor, MonitorError};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a VM may take to get to another QEMU.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often its way is looked at.
const TICK: Duration = Duration::from_millis(5);
/// Bytes a second at which it goes; QEMU's own limit would take seconds.
const BANDWIDTH: u64 = 1 << 40;

impl Monitor {
    /// Moves the VM to the QEMU that waits at this UNIX socket. Afterwards it runs there, and stands still here.
    ///
    /// # Errors
    /// The migration failed or took too long.
    pub fn migrate(&mut self, socket: &Path) -> Result<(), MonitorError> {
        self.ask("migrate-set-parameters", json!({ "max-bandwidth": BANDWIDTH }))?;
        self.ask("migrate", json!({ "uri": format!("unix:{}", socket.display()) }))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask("query-migrate", json!({}))?;
            match answer.get("status").and_then(|status| status.as_str()) {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => return Err(MonitorError::Answer(answer.to_string())),
                _ if Instant::now() >= deadline => return Err(MonitorError::Answer(answer.to_string())),
                _ => std::thread::sleep(TICK),
            }
        }
    }

    /// Takes the VM that somebody moves to this UNIX socket. QEMU was started with `-incoming defer`.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn listen(&mut self, socket: &Path) -> Result<(), MonitorError> {
        self.ask("migrate-incoming", json!({ "uri": format!("unix:{}", socket.display()) }))?;
        Ok(())
    }

    /// Waits until the VM is here and runs.
    ///
    /// # Errors
    /// It does not come.
    pub fn wait_until_running(&mut self) -> Result<(), MonitorError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask("query-status", json!({}))?;
            match answer.get("status").and_then(|status| status.as_str()) {
                Some("running") => return Ok(()),
                _ if Instant::now() < deadline => std::thread::sleep(TICK),
                _ => return Err(MonitorError::Answer(answer.to_string())),
            }
        }
    }

    /// Stops every CPU and every device until [`Self::cont`].
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn stop(&mut self) -> Result<(), MonitorError> {
        self.ask("stop", json!({})).map(drop)
    }

    /// Lets the VM go on.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn cont(&mut self) -> Result<(), MonitorError> {
        self.ask("cont", json!({})).map(drop)
    }

    /// Starts the machine anew. QEMU was started without `-no-reboot`.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn reset(&mut self) -> Result<(), MonitorError> {
        self.ask("system_reset", json!({})).map(drop)
    }

    /// Keeps the VM as it is, disks and all, under this name.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn save(&mut self, name: &str) -> Result<(), MonitorError> {
        self.human(&format!("savevm {name}"))
    }

    /// Goes back to what was kept under this name.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn load(&mut self, name: &str) -> Result<(), MonitorError> {
        self.human(&format!("loadvm {name}"))
    }

    /// A command of the monitor for people, which says nothing when it succeeds.
    fn human(&mut self, command: &str) -> Result<(), MonitorError> {
        let answer = self.ask("human-monitor-command", json!({ "command-line": command }))?;
        match answer.as_str() {
            Some("") => Ok(()),
            _ => Err(MonitorError::Answer(answer.to_string())),
        }
    }
}
