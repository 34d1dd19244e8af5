//! A peer that opens connections and completes none of them, and clients that must be served meanwhile.

use crate::peer::frames::{self, ACK, Frame, Mac, RST, SYN, Segment};
use crate::peer::wire::{GUEST_IP, US, Wire, WireError};
use std::time::Duration;

const ECHO_PORT: u16 = 7;
/// The first port of the flood, and that of the honest clients.
const FLOOD: u16 = 20_000;
const HONEST: u16 = 50_000;
/// Connections opened between two reads of the cable, which holds few frames.
const BURST: u16 = 8;
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const ATTEMPTS: u32 = 10;
const TIMEOUT: Duration = Duration::from_secs(3);
const TEXT: &[u8] = b"served in spite of them all";
const PAGE_PORT: u16 = 80;
/// A line that the status page refuses.
const NO_REQUEST: &[u8] = b"\x16\x03\x01: no request\r\n";
const REFUSED: &[u8] = b"HTTP/1.1 400 ";

/// The peer.
#[derive(Debug)]
pub struct Flood<'a> {
    wire: &'a mut Wire,
    mac: Mac,
    asked: u16,
    port: u16,
    /// A client's data, and the start of the answer.
    said: &'static [u8],
    answer: &'static [u8],
}

impl<'a> Flood<'a> {
    /// A peer at the other end of the guest's cable.
    pub fn new(wire: &'a mut Wire, mac: Mac) -> Self {
        Self { wire, mac, asked: 0, port: ECHO_PORT, said: TEXT, answer: TEXT }
    }

    /// Makes it a peer of the guest's status page.
    #[must_use]
    pub fn at_page(self) -> Self {
        Self { port: PAGE_PORT, said: NO_REQUEST, answer: REFUSED, ..self }
    }

    /// Sends one SYN for each of `connections` more connections, and does not answer.
    ///
    /// # Errors
    /// The socket failed.
    pub fn ask(&mut self, connections: u16) -> Result<(), WireError> {
        for number in 0..connections {
            let ports = (FLOOD + self.asked, self.port);
            self.send(ports, u32::from(self.asked) << 8, 0, SYN, b"")?;
            self.asked += 1;
            if number % BURST == BURST - 1 {
                self.wire.serve(POLL_INTERVAL, |_| false)?;
            }
        }
        Ok(())
    }

    /// A client that is served: it connects, sends a line and gets its answer. Between its steps the flood continues.
    ///
    /// # Errors
    /// It is not served, or the echo differs.
    pub fn be_served(&mut self, number: u16) -> Result<(), WireError> {
        let ports = (HONEST + number, self.port);
        for attempt in 0..ATTEMPTS {
            let first = 0x1000 * (attempt + 1);
            self.send(ports, first, 0, SYN, b"")?;
            self.ask(4)?;
            let Some(answer) = self.answer(ports, |segment| segment.flags & SYN != 0)? else { continue };
            let (own, theirs) = (first.wrapping_add(1), answer.sequence.wrapping_add(1));
            if answer.acknowledged != own {
                continue;
            }
            self.send(ports, own, theirs, ACK, self.said)?;
            self.ask(4)?;
            let Some(echo) = self.answer(ports, |segment| !segment.data.is_empty())? else { continue };
            let over = theirs.wrapping_add(u32::try_from(echo.data.len()).unwrap_or(0));
            let sent = own.wrapping_add(u32::try_from(self.said.len()).unwrap_or(0));
            self.send(ports, sent, over, RST | ACK, b"")?;
            return if echo.data.starts_with(self.answer) {
                Ok(())
            } else {
                Err(WireError::WrongTcpEcho(ports.0))
            };
        }
        Err(WireError::NotServed(ports.0))
    }

    /// The guest's next segment for this client that is `wanted`; an error if none comes in time, or a reset.
    fn answer(
        &mut self,
        ports: (u16, u16),
        wanted: impl Fn(&Segment) -> bool,
    ) -> Result<Option<Segment>, WireError> {
        let mut found = None;
        self.wire.serve(TIMEOUT, |frame| {
            let Frame::Tcp(segment) = frame else { return false };
            if segment.ports != (ports.1, ports.0) {
                return false;
            }
            let reset = segment.flags & RST != 0;
            if !reset && wanted(segment) {
                found = Some(segment.clone());
            }
            reset || found.is_some()
        })?;
        Ok(found)
    }

    fn send(
        &self,
        ports: (u16, u16),
        sequence: u32,
        acknowledged: u32,
        flags: u8,
        data: &[u8],
    ) -> Result<(), WireError> {
        let segment = Segment { ports, sequence, acknowledged, flags, data: data.to_vec() };
        Ok(self.wire.send(&frames::tcp(US, (self.mac, GUEST_IP), &segment))?)
    }
}
