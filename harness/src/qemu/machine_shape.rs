//! A machine's CPUs, memory and devices, as QEMU's monitor reports them.

use super::monitor::{Monitor, MonitorError};
use serde_json::{Value, json};

impl Monitor {
    /// Number of CPUs.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn cpus(&mut self) -> Result<u64, MonitorError> {
        let answer = self.ask("query-cpus-fast", json!({}))?;
        answer
            .as_array()
            .map(|cpus| cpus.len() as u64)
            .ok_or_else(|| MonitorError::Answer(answer.to_string()))
    }

    /// Bytes of memory: the machine's base memory and plugged memory.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn memory(&mut self) -> Result<u64, MonitorError> {
        let answer = self.ask("query-memory-size-summary", json!({}))?;
        let bytes = |key: &str| answer.get(key).and_then(Value::as_u64);
        let base = bytes("base-memory").ok_or_else(|| MonitorError::Answer(answer.to_string()))?;
        Ok(base + bytes("plugged-memory").unwrap_or(0))
    }

    /// Vendor and device of each PCI function of the first host bridge's own bus, in hexadecimal as `1af4:1042`.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn pci_ids(&mut self) -> Result<Vec<String>, MonitorError> {
        let answer = self.pci()?;
        let devices = answer.get(0).and_then(|bus| bus.get("devices")).and_then(Value::as_array);
        let id = |device: &Value| {
            let number = |key: &str| device.get("id")?.get(key)?.as_u64();
            Some(format!("{:04x}:{:04x}", number("vendor")?, number("device")?))
        };
        let ids = devices.and_then(|devices| devices.iter().map(id).collect());
        ids.ok_or_else(|| MonitorError::Answer(answer.to_string()))
    }
}
