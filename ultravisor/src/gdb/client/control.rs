//! Stops a running guest, at once or at a store, resumes some of its vCPUs, and reads and writes all registers of a vCPU at once.

use super::{Client, GdbError, Stop, stop_reply, unexpected};
use crate::gdb::packet::{from_hex, to_hex};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long QEMU may take to stop a guest that runs.
const STOP_TIME: Duration = Duration::from_secs(120);

impl Client {
    /// Stops any vCPU right after it stores into the four bytes at an effective address.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn watch_store(&mut self, address: u64) -> Result<(), GdbError> {
        self.order(&format!("Z2,{address:x},4"))
    }

    /// Takes that back.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn forget_store(&mut self, address: u64) -> Result<(), GdbError> {
        self.order(&format!("z2,{address:x},4"))
    }

    /// Waits, without limit, until the guest stops or QEMU ends.
    ///
    /// # Errors
    /// [`GdbError::Gone`] if QEMU closed the connection without a reply.
    pub fn wait_for_stop(&mut self) -> Result<Stop, GdbError> {
        loop {
            if let Some(stop) = self.stop_by(None)? {
                return Ok(stop);
            }
        }
    }

    /// Waits until the guest stops, but no longer than `time`; `None` if it still runs then.
    ///
    /// # Errors
    /// As [`Self::wait_for_stop`].
    pub fn wait_within(&mut self, time: Duration) -> Result<Option<Stop>, GdbError> {
        self.stop_by(Some(Instant::now() + time))
    }

    /// Stops a running guest. If it has stopped by itself just before, returns that stop, and the request has no effect.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn interrupt(&mut self) -> Result<Stop, GdbError> {
        self.stream.write_all(&[3])?;
        let stop = self.wait_within(STOP_TIME)?;
        stop.ok_or_else(|| GdbError::Timeout("interrupt".to_owned()))
    }

    /// Lets these vCPUs run and no others.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn resume_only(&mut self, threads: &[String]) -> Result<(), GdbError> {
        let actions: String = threads.iter().map(|thread| format!(";c:{thread}")).collect();
        self.send(&format!("vCont{actions}"))
    }

    /// The names of all vCPUs, in order.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn threads(&mut self) -> Result<Vec<String>, GdbError> {
        let mut threads = Vec::new();
        let mut command = "qfThreadInfo";
        loop {
            let answer = self.ask(command)?;
            match answer.strip_prefix(b"m") {
                Some(list) => {
                    let list = String::from_utf8_lossy(list);
                    threads.extend(list.split(',').map(str::to_owned));
                }
                None if answer == b"l" => return Ok(threads),
                None => return Err(unexpected(command, &answer)),
            }
            command = "qsThreadInfo";
        }
    }

    /// The general registers of the selected vCPU, in the order and size that the target's description gives them.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn read_general(&mut self) -> Result<Vec<u8>, GdbError> {
        let answer = self.ask("g")?;
        from_hex(&answer).ok_or_else(|| unexpected("g", &answer))
    }

    /// Writes them back.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn write_general(&mut self, bytes: &[u8]) -> Result<(), GdbError> {
        self.order(&format!("G{}", to_hex(bytes)))
    }

    /// Ends the machine.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn kill(&mut self) -> Result<(), GdbError> {
        match self.ask("vKill;1") {
            Ok(_) | Err(GdbError::Gone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn stop_by(&mut self, deadline: Option<Instant>) -> Result<Option<Stop>, GdbError> {
        loop {
            let packet = match self.stops.pop_front() {
                Some(packet) => packet,
                None => match self.receive(deadline)? {
                    Some(packet) => packet,
                    None => return Ok(None),
                },
            };
            match packet.first() {
                Some(b'T' | b'S') => return stop_reply(&packet).map(Some),
                Some(b'W' | b'X') => return Ok(Some(Stop::Exited)),
                // `O` is text for a debugger's console. No other packet is a stop either.
                _ => {}
            }
        }
    }
}
