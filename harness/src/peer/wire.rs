//! A peer at the other end of the guest's cable: raw frames over a pair of UNIX datagram sockets.

use crate::interrupt;
use crate::peer::frames::{self, ECHO_REPLY, ECHO_REQUEST, Frame, Ip, Mac};
use std::fmt;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Our addresses.
pub const US: (Mac, Ip) = ([0x52, 0x54, 0, 0xee, 0, 1], [192, 0, 2, 1]);
/// The guest's address on this cable.
pub const GUEST_IP: Ip = [192, 0, 2, 2];
/// Sizes of echo payloads: empty, padded frames, odd, a full frame.
const PAYLOADS: [usize; 6] = [0, 1, 18, 333, 1024, 1472];
const ATTEMPTS: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A fault of the guest's network.
#[derive(Debug)]
pub enum WireError {
    /// The sockets failed.
    Io(io::Error),
    /// No answer to ARP for the guest's address.
    NoArp,
    /// An ARP answer names another address than the card's.
    WrongMac(Mac),
    /// No echo reply with a payload of this many bytes.
    NoEcho(usize),
    /// An echo reply that differs from its request.
    WrongEcho(usize),
    /// The guest answered a request that was not for it.
    Overheard(Frame),
    /// The guest never pinged us.
    NoPing,
    /// The guest did not announce its address, or announced it once too often.
    Announced {
        /// Announcements expected.
        expected: usize,
        /// Announcements that came.
        found: usize,
    },
    /// No connection, or no echo over it, for the client with this port.
    NotServed(u16),
    /// The echo of a connection is not what was sent.
    WrongTcpEcho(u16),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "raw frames: {error}"),
            Self::NoArp => f.write_str("no answer to ARP"),
            Self::WrongMac(mac) => write!(f, "ARP answer with another hardware address: {mac:x?}"),
            Self::NoEcho(bytes) => write!(f, "no reply to an ICMP echo request of {bytes} bytes"),
            Self::WrongEcho(bytes) => write!(f, "wrong reply to an ICMP echo request of {bytes} bytes"),
            Self::Overheard(frame) => write!(f, "answer to a request for another host: {frame:x?}"),
            Self::Announced { expected, found } => {
                write!(f, "{found} announcements of the guest's address instead of {expected}")
            }
            Self::NoPing => f.write_str("no ICMP echo request from the guest"),
            Self::NotServed(port) => write!(f, "no TCP echo for the client with port {port}"),
            Self::WrongTcpEcho(port) => write!(f, "wrong TCP echo for the client with port {port}"),
        }
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Our end of the cable.
#[derive(Debug)]
pub struct Wire {
    socket: UnixDatagram,
    qemu: PathBuf,
    pings: usize,
}

impl Wire {
    /// Makes a cable: two sockets in `dir`; QEMU makes the other one.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(dir.join("wire-peer"))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(Self { socket, qemu: dir.join("wire-qemu"), pings: 0 })
    }

    /// The `-netdev` argument for QEMU's end.
    #[must_use]
    pub fn netdev(dir: &Path) -> String {
        let dir = dir.display().to_string().replace(',', ",,");
        format!(
            "dgram,local.type=unix,local.path={dir}/wire-qemu,remote.type=unix,remote.path={dir}/wire-peer"
        )
    }

    /// Serves the cable until `done` returns true, or for `timeout`: answers the guest's ARP requests for us and its
    /// pings, and passes other frames to `done`.
    pub(super) fn serve(
        &mut self,
        timeout: Duration,
        mut done: impl FnMut(&Frame) -> bool,
    ) -> Result<bool, WireError> {
        let deadline = Instant::now() + timeout;
        let mut block = [0; 4096];
        while Instant::now() < deadline && !interrupt::requested() {
            let n = match self.socket.recv(&mut block) {
                Ok(n) => n,
                Err(error) if is_silence(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(frame) = frames::parse(&block[..n]) else { continue };
            match &frame {
                &Frame::Arp { operation: 1, from, from_ip, to_ip } if to_ip == US.1 => {
                    self.send(&frames::arp(2, US, (from, from_ip)))?;
                }
                Frame::Echo { kind: ECHO_REQUEST, from, from_ip, to_ip, tag, data } if *to_ip == US.1 => {
                    self.pings += 1;
                    self.send(&frames::echo(ECHO_REPLY, US, (*from, *from_ip), *tag, data))?;
                }
                _ => {}
            }
            if done(&frame) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        match self.socket.send_to(frame, &self.qemu) {
            Ok(_) => Ok(()),
            // QEMU is not there yet, or its buffer is full: the frame is lost, as on a cable, and senders repeat.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
                    || is_silence(&error) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Serves until the guest has pinged us, as its demo does with its gateway.
    ///
    /// # Errors
    /// It did not, for `timeout`.
    pub fn be_pinged(&mut self, timeout: Duration) -> Result<(), WireError> {
        let deadline = Instant::now() + timeout;
        while self.pings == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || interrupt::requested() {
                return Err(WireError::NoPing);
            }
            let request = |frame: &Frame| matches!(frame, Frame::Echo { kind: ECHO_REQUEST, .. });
            self.serve(left, request)?;
        }
        Ok(())
    }

    /// Asks for the guest's hardware address and pings it with payloads of many sizes.
    ///
    /// # Errors
    /// The first answer that is missing or wrong.
    pub fn probe(&mut self, mac: Mac) -> Result<(), WireError> {
        self.ask_for(mac)?;
        for (sequence, length) in (0..).zip(PAYLOADS) {
            self.ping(mac, sequence, length)?;
        }
        self.expect_silence(mac)
    }

    /// Takes an announcement of the guest's address: one within `timeout`, and no second one until the guest has
    /// answered an ARP request and half a second has passed.
    ///
    /// # Errors
    /// There is none, or there are more.
    pub fn take_announcement(&mut self, mac: Mac, timeout: Duration) -> Result<(), WireError> {
        let is_one = |frame: &Frame| {
            let own = |ip: &Ip| *ip == GUEST_IP;
            matches!(frame, Frame::Arp { operation: 1, from, from_ip, to_ip }
                if *from == mac && own(from_ip) && own(to_ip))
        };
        let expected = 1;
        if !self.serve(timeout, is_one)? {
            return Err(WireError::Announced { expected, found: 0 });
        }
        self.ask_for(mac)?;
        if self.serve(Duration::from_millis(500), is_one)? {
            return Err(WireError::Announced { expected, found: 2 });
        }
        Ok(())
    }

    fn ask_for(&mut self, mac: Mac) -> Result<(), WireError> {
        for _ in 0..ATTEMPTS {
            self.send(&frames::arp(1, US, ([0; 6], GUEST_IP)))?;
            let mut answer = None;
            self.serve(TIMEOUT, |frame| {
                if let &Frame::Arp { operation: 2, from, from_ip: GUEST_IP, .. } = frame {
                    answer = Some(from);
                }
                answer.is_some()
            })?;
            match answer {
                Some(from) if from == mac => return Ok(()),
                Some(from) => return Err(WireError::WrongMac(from)),
                None => {}
            }
        }
        Err(WireError::NoArp)
    }

    fn ping(&mut self, mac: Mac, sequence: u8, length: usize) -> Result<(), WireError> {
        let mut payload = vec![0; length];
        crate::pattern::fill(u64::from(sequence), &mut payload);
        let tag = [0x50, 0x4f, 0, sequence];
        for _ in 0..ATTEMPTS {
            self.send(&frames::echo(ECHO_REQUEST, US, (mac, GUEST_IP), tag, &payload))?;
            let mut right = None;
            self.serve(TIMEOUT, |frame| {
                if let Frame::Echo { kind: ECHO_REPLY, tag: theirs, data, from_ip, to_ip, from } = frame
                    && *theirs == tag
                {
                    right = Some(*data == payload && *from_ip == GUEST_IP && *to_ip == US.1 && *from == mac);
                }
                right.is_some()
            })?;
            match right {
                Some(true) => return Ok(()),
                Some(false) => return Err(WireError::WrongEcho(length)),
                None => {}
            }
        }
        Err(WireError::NoEcho(length))
    }

    /// Checks that requests for another address, and one with a wrong checksum, are not answered.
    fn expect_silence(&mut self, mac: Mac) -> Result<(), WireError> {
        let other = [192, 0, 2, 77];
        let tag = [0x50, 0x4f, 1, 0];
        self.send(&frames::arp(1, US, ([0; 6], other)))?;
        self.send(&frames::echo(ECHO_REQUEST, US, (mac, other), tag, b"not you"))?;
        let mut broken = frames::echo(ECHO_REQUEST, US, (mac, GUEST_IP), tag, b"broken on the way");
        if let Some(byte) = broken.get_mut(45) {
            *byte ^= 0xff;
        }
        self.send(&broken)?;
        let mut overheard = None;
        self.serve(Duration::from_millis(700), |frame| {
            let bad = match frame {
                Frame::Arp { operation: 2, from_ip, .. } => *from_ip == other,
                Frame::Echo { kind: ECHO_REPLY, tag: theirs, .. } => *theirs == tag,
                _ => false,
            };
            if bad {
                overheard = Some(frame.clone());
            }
            bad
        })?;
        overheard.map_or(Ok(()), |frame| Err(WireError::Overheard(frame)))
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 9];

    /// A guest that answers; `spoil` changes its frames before they leave.
    fn guest(dir: &Path, spoil: impl Fn(&mut Vec<u8>) + Send + 'static) {
        let socket = UnixDatagram::bind(dir.join("wire-qemu")).unwrap();
        let peer = dir.join("wire-peer");
        std::thread::spawn(move || {
            let me = (MAC, GUEST_IP);
            let mut block = [0; 4096];
            while let Ok(n) = socket.recv(&mut block) {
                let mut answer = match frames::parse(&block[..n]) {
                    Some(Frame::Arp { operation: 1, from, from_ip, to_ip: GUEST_IP }) => {
                        frames::arp(2, me, (from, from_ip))
                    }
                    Some(Frame::Echo { from, from_ip, to_ip: GUEST_IP, tag, data, .. }) => {
                        frames::echo(ECHO_REPLY, me, (from, from_ip), tag, &data)
                    }
                    _ => continue,
                };
                spoil(&mut answer);
                if socket.send_to(&answer, &peer).is_err() {
                    break;
                }
            }
        });
    }

    #[test]
    fn a_guest_that_answers_passes() {
        let dir = tempfile::tempdir().unwrap();
        guest(dir.path(), |_| {});
        Wire::new(dir.path()).unwrap().probe(MAC).unwrap();
    }

    #[test]
    fn another_hardware_address_or_payload_is_found() {
        let dir = tempfile::tempdir().unwrap();
        guest(dir.path(), |_| {});
        let error = Wire::new(dir.path()).unwrap().probe([2, 0, 0, 0, 0, 8]).unwrap_err();
        assert!(matches!(error, WireError::WrongMac(MAC)));
        let dir = tempfile::tempdir().unwrap();
        // Two changes that keep the checksum correct.
        guest(dir.path(), |frame| {
            if frame.len() > 400 {
                frame.swap(100, 102);
            }
        });
        let error = Wire::new(dir.path()).unwrap().probe(MAC).unwrap_err();
        assert!(matches!(error, WireError::WrongEcho(_)), "{error}");
    }

    #[test]
    fn a_ping_is_answered_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut wire = Wire::new(dir.path()).unwrap();
        let socket = UnixDatagram::bind(dir.path().join("wire-qemu")).unwrap();
        let request = frames::echo(ECHO_REQUEST, (MAC, GUEST_IP), US, [1, 1, 1, 1], b"x");
        socket.send_to(&request, dir.path().join("wire-peer")).unwrap();
        wire.be_pinged(Duration::from_secs(10)).unwrap();
        let mut block = [0; 200];
        let n = socket.recv(&mut block).unwrap();
        assert!(matches!(frames::parse(&block[..n]), Some(Frame::Echo { kind: ECHO_REPLY, .. })));
    }
}
