//! Operations of QEMU's monitor on a whole VM: migration, saving and loading, stop and continue, reset.

use super::monitor::{Monitor, MonitorError};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time limit of a migration.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Interval of the checks of its state.
const TICK: Duration = Duration::from_millis(5);
/// Its limit in bytes a second; with QEMU's own limit it would take seconds.
const BANDWIDTH: u64 = 1 << 40;

impl Monitor {
    /// Migrates the VM to the QEMU that waits at this UNIX socket. Afterwards it runs there, and is stopped here.
    ///
    /// # Errors
    /// The migration failed or took too long.
    pub fn migrate(&mut self, socket: &Path) -> Result<(), MonitorError> {
        self.ask("migrate-set-parameters", json!({ "max-bandwidth": BANDWIDTH }))?;
        self.ask("migrate", json!({ "uri": format!("unix:{}", socket.display()) }))?;
        let deadline = Instant::now() + TIMEOUT;
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

    /// Waits for a migration at this UNIX socket. QEMU must have been started with `-incoming defer`.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn listen(&mut self, socket: &Path) -> Result<(), MonitorError> {
        self.ask("migrate-incoming", json!({ "uri": format!("unix:{}", socket.display()) }))?;
        Ok(())
    }

    /// Waits until the VM has arrived and runs.
    ///
    /// # Errors
    /// It does not arrive in time.
    pub fn wait_until_running(&mut self) -> Result<(), MonitorError> {
        let deadline = Instant::now() + TIMEOUT;
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

    /// Continues the VM.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn cont(&mut self) -> Result<(), MonitorError> {
        self.ask("cont", json!({})).map(drop)
    }

    /// Resets the machine. QEMU must have been started without `-no-reboot`.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn reset(&mut self) -> Result<(), MonitorError> {
        self.ask("system_reset", json!({})).map(drop)
    }

    /// Saves the VM's state, including its disks, under this name.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn save(&mut self, name: &str) -> Result<(), MonitorError> {
        self.human(&format!("savevm {name}"))
    }

    /// Loads the state that was saved under this name.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn load(&mut self, name: &str) -> Result<(), MonitorError> {
        self.human(&format!("loadvm {name}"))
    }

    /// A command of the human monitor, which prints nothing when it succeeds.
    fn human(&mut self, command: &str) -> Result<(), MonitorError> {
        let answer = self.ask("human-monitor-command", json!({ "command-line": command }))?;
        match answer.as_str() {
            Some("") => Ok(()),
            _ => Err(MonitorError::Answer(answer.to_string())),
        }
    }
}
