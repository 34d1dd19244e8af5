//! QEMU's monitor (QMP): reads QEMU's state, such as forwarded host ports and the devices' rings, and changes devices.

use serde_json::{Value, json};
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time limit of QEMU for its socket and for an answer.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Most queues of a device that are queried.
const QUEUES: u16 = 8;

/// Loopback ports that reach the guest's port 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// For UDP.
    pub udp: u16,
    /// For TCP.
    pub tcp: u16,
}

/// A virtqueue as the device has it: addresses as the guest gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// `virtio-blk` or `virtio-net`.
    pub device: String,
    /// The queue's number.
    pub queue: u16,
    /// Entries.
    pub size: u64,
    /// Descriptor table.
    pub descriptors: u64,
    /// Available ring.
    pub available: u64,
    /// Used ring.
    pub used: u64,
}

/// Why a query failed.
#[derive(Debug)]
pub enum MonitorError {
    /// The socket did not open or broke.
    Io(io::Error),
    /// The answer names no forwarded port for both protocols.
    NoPorts(String),
    /// The answer has another form than expected.
    Answer(String),
}

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "QEMU's monitor: {error}"),
            Self::NoPorts(answer) => write!(f, "QEMU's monitor names no forwarded ports: {answer}"),
            Self::Answer(answer) => write!(f, "QEMU's monitor answers {answer}"),
        }
    }
}

impl From<io::Error> for MonitorError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A connection to a monitor.
#[derive(Debug)]
pub struct Monitor {
    out: UnixStream,
    input: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects to the QEMU behind `socket`.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn connect(socket: &Path) -> Result<Self, MonitorError> {
        let deadline = Instant::now() + TIMEOUT;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= deadline => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut monitor = Self { out: stream.try_clone()?, input: BufReader::new(stream) };
        monitor.ask("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Sends a system reset to every CPU.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn inject_nmi(&mut self) -> Result<(), MonitorError> {
        self.ask("inject-nmi", json!({}))?;
        Ok(())
    }

    /// Plugs in a disk of zeros with the id `hot`.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn plug_disk(&mut self) -> Result<(), MonitorError> {
        self.ask("blockdev-add", json!({ "driver": "null-co", "node-name": "zeros", "size": 1 << 20 }))?;
        let device = json!({ "driver": "virtio-blk-pci", "drive": "zeros", "id": "hot", "serial": "hot",
                             "disable-legacy": "on", "iommu_platform": true });
        self.ask("device_add", device)?;
        Ok(())
    }

    /// Requests the removal of a device, by its path in QEMU's object tree.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn unplug(&mut self, path: &str) -> Result<(), MonitorError> {
        self.ask("device_del", json!({ "id": path }))?;
        Ok(())
    }

    /// Writes firmware's device tree to a file. The guest is at reset.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn dump_tree(&mut self, file: &Path) -> Result<(), MonitorError> {
        self.ask("dumpdtb", json!({ "filename": file }))?;
        Ok(())
    }

    /// Plugs the card's cable in or out.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn set_link(&mut self, up: bool) -> Result<(), MonitorError> {
        self.ask("set_link", json!({ "name": "net0", "up": up }))?;
        Ok(())
    }

    /// Has every card announced once: QEMU sends a packet of its own, and asks a driver that can announce to do so.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn announce(&mut self) -> Result<(), MonitorError> {
        self.ask("announce-self", json!({ "initial": 50, "max": 50, "rounds": 1, "step": 0 }))?;
        Ok(())
    }

    /// Sets the size of disk number `disk`; QEMU notifies the guest.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn resize(&mut self, disk: usize, bytes: u64) -> Result<(), MonitorError> {
        self.ask("block_resize", json!({ "device": format!("disk{disk}"), "size": bytes }))?;
        Ok(())
    }

    /// Limits disk number `disk` to `per_second` requests a second; 0 is no limit.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn throttle(&mut self, disk: usize, per_second: u32) -> Result<(), MonitorError> {
        self.limit(disk, 0, per_second)
    }

    /// Limits the bytes a second of a disk; 0 is no limit.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn throttle_bytes(&mut self, disk: usize, per_second: u32) -> Result<(), MonitorError> {
        self.limit(disk, per_second, 0)
    }

    fn limit(&mut self, disk: usize, bytes: u32, requests: u32) -> Result<(), MonitorError> {
        let arguments = json!({
            "device": format!("disk{disk}"),
            "bps": bytes, "bps_rd": 0, "bps_wr": 0, "iops": requests, "iops_rd": 0, "iops_wr": 0,
        });
        self.ask("block_set_io_throttle", arguments)?;
        Ok(())
    }

    /// Number of completed reads and writes of all disks.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn disk_requests(&mut self) -> Result<u64, MonitorError> {
        let answer = self.ask("query-blockstats", json!({}))?;
        operations(&answer).ok_or_else(|| MonitorError::Answer(answer.to_string()))
    }

    /// Sends one request and returns its answer; greeting and events are ignored.
    pub(super) fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, MonitorError> {
        let request = json!({ "execute": command, "arguments": arguments });
        self.out.write_all(format!("{request}\n").as_bytes())?;
        loop {
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let Ok(mut answer) = serde_json::from_str::<Value>(&line) else {
                return Err(MonitorError::Answer(line));
            };
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if answer.get("error").is_some() {
                return Err(MonitorError::Answer(line));
            }
        }
    }

    /// The forwarded ports.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn forwarded(&mut self) -> Result<Forwarded, MonitorError> {
        self.forwarded_to(7)
    }

    /// The host ports that are forwarded to this port of the guest.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn forwarded_to(&mut self, guest: u16) -> Result<Forwarded, MonitorError> {
        let answer = self.ask("human-monitor-command", json!({ "command-line": "info usernet" }))?;
        let table = answer.as_str().unwrap_or_default();
        ports(table, guest).ok_or_else(|| MonitorError::NoPorts(table.to_owned()))
    }

    /// The host port that is forwarded to the guest's status page.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn page(&mut self) -> Result<u16, MonitorError> {
        let answer = self.ask("human-monitor-command", json!({ "command-line": "info usernet" }))?;
        let table = answer.as_str().unwrap_or_default();
        port(table, "TCP", 80).ok_or_else(|| MonitorError::NoPorts(table.to_owned()))
    }

    /// Makes QEMU translate all code again, after the guest's code was changed from outside.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn translate_anew(&mut self) -> Result<(), MonitorError> {
        self.ask("human-monitor-command", json!({ "command-line": "log nochain" })).map(drop)
    }

    /// QEMU's tree of buses and devices, as text.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn devices(&mut self) -> Result<String, MonitorError> {
        let answer = self.ask("human-monitor-command", json!({ "command-line": "info qtree" }))?;
        answer.as_str().map(str::to_owned).ok_or_else(|| MonitorError::Answer(answer.to_string()))
    }

    /// The buses of all host bridges, as `query-pci` answers them.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn pci(&mut self) -> Result<Value, MonitorError> {
        self.ask("query-pci", json!({}))
    }

    /// Every queue that a driver has set up. Not for vhost-user servers, whose queues QEMU stops for the query.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub fn rings(&mut self) -> Result<Vec<Ring>, MonitorError> {
        let devices = self.ask("x-query-virtio", json!({}))?;
        let mut rings = Vec::new();
        for device in devices.as_array().into_iter().flatten() {
            let (Some(name), Some(path)) = (text(device, "name"), text(device, "path")) else {
                return Err(MonitorError::Answer(device.to_string()));
            };
            for queue in 0..QUEUES {
                let arguments = json!({ "path": path, "queue": queue });
                // QEMU answers with an error if the device has no such queue.
                let Ok(status) = self.ask("x-query-virtio-queue-status", arguments) else { break };
                let ring = ring(name, queue, &status);
                let ring = ring.ok_or_else(|| MonitorError::Answer(status.to_string()))?;
                if ring.descriptors != 0 {
                    rings.push(ring);
                }
            }
        }
        Ok(rings)
    }
}

fn operations(statistics: &Value) -> Option<u64> {
    let count = |disk: &Value, key: &str| disk.get("stats")?.get(key)?.as_u64();
    let disks = statistics.as_array()?;
    disks.iter().map(|disk| Some(count(disk, "rd_operations")? + count(disk, "wr_operations")?)).sum()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn ring(device: &str, queue: u16, status: &Value) -> Option<Ring> {
    let number = |key: &str| status.get(key)?.as_u64();
    Some(Ring {
        device: device.to_owned(),
        queue,
        size: number("vring-num")?,
        descriptors: number("vring-desc")?,
        available: number("vring-avail")?,
        used: number("vring-used")?,
    })
}

/// Finds the ports in `info usernet`'s table: protocol and state, file descriptor, host address, host port,
/// and so on.
fn ports(table: &str, guest: u16) -> Option<Forwarded> {
    Some(Forwarded { udp: port(table, "UDP", guest)?, tcp: port(table, "TCP", guest)? })
}

fn port(table: &str, protocol: &str, guest: u16) -> Option<u16> {
    let kind = format!("{protocol}[HOST_FORWARD]");
    let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.first() == Some(&&*kind) && row.get(5) == Some(&&*guest.to_string()))?;
    row.get(3)?.parse::<u16>().ok().filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_the_table() {
        let table = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port \
                     RecvQ SendQ\r\n  TCP[HOST_FORWARD]   3       127.0.0.1 38135       10.0.2.15     7     0 \
                     0\r\n  UDP[HOST_FORWARD]   8       127.0.0.1 49801       10.0.2.15     7     0     0\r\n  \
                     TCP[HOST_FORWARD]   4       127.0.0.1 38136       10.0.2.15    19     0     0\r\n  \
                     UDP[HOST_FORWARD]   9       127.0.0.1 49802       10.0.2.15    19     0     0\r\n";
        assert_eq!(ports(table, 7), Some(Forwarded { udp: 49801, tcp: 38135 }));
        assert_eq!(ports(table, 19), Some(Forwarded { udp: 49802, tcp: 38136 }));
        assert_eq!(ports(table, 9), None);
        assert_eq!((port(table, "TCP", 19), port(table, "TCP", 80)), (Some(38136), None));
        assert_eq!(ports("", 7), None);
    }

    #[test]
    fn requests_of_all_disks_are_added_up() {
        let disk = |reads: u64| json!({ "stats": { "rd_operations": reads, "wr_operations": 1 } });
        assert_eq!(operations(&json!([disk(2), disk(3)])), Some(7));
        assert_eq!(operations(&json!([{ "stats": {} }])), None);
    }

    #[test]
    fn a_ring_is_read_from_its_status() {
        let status = json!({
            "name": "virtio-blk", "vring-num": 256, "vring-desc": 4096, "vring-avail": 8192, "vring-used": 8704,
        });
        let ring = ring("virtio-blk", 0, &status).unwrap();
        assert_eq!((ring.size, ring.descriptors, ring.available, ring.used), (256, 4096, 8192, 8704));
        assert_eq!(super::ring("virtio-blk", 0, &json!({})), None);
    }
}
