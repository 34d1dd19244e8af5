//! UDP and TCP echo with the host's own network stack; every byte is checked.

use crate::interrupt;
use crate::pattern;
use crate::qemu::monitor::Forwarded;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Payload sizes: empty frames' padding, odd lengths, a power of two, the most that an Ethernet frame takes.
const DATAGRAMS: [usize; 9] = [1, 17, 18, 63, 256, 511, 1024, 1471, 1472];
/// Number of times that a datagram is sent before it counts as lost.
const ATTEMPTS: usize = 5;
/// Time limit of an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of a whole TCP exchange.
const TCP_TIMEOUT: Duration = Duration::from_secs(300);

/// The result of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// Number of bytes that came back, all correct.
    pub bytes: u64,
}

/// Why an exchange failed.
#[derive(Debug)]
pub enum EchoError {
    /// No answer to a datagram of this many bytes.
    Lost(usize),
    /// An answer of the right length with a wrong byte at this offset, or of another length.
    Wrong {
        /// Offset in the stream or datagram.
        offset: u64,
    },
    /// The stream ended after this many bytes.
    Short(u64),
    /// The socket failed after this many bytes came back.
    Io(u64, io::Error),
}

impl fmt::Display for EchoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(bytes) => write!(f, "no echo of a UDP datagram of {bytes} bytes"),
            Self::Wrong { offset } => write!(f, "the echo differs at byte {offset}"),
            Self::Short(bytes) => write!(f, "the TCP echo ended after {bytes} bytes"),
            Self::Io(bytes, error) => write!(f, "echo socket after {bytes} bytes: {error}"),
        }
    }
}

/// Exchanges datagrams of many sizes with the echo service behind `port`.
///
/// # Errors
/// The first that does not come back as it was sent.
pub fn udp(port: u16, seed: u64) -> Result<Exchanged, EchoError> {
    let failed = |error| EchoError::Io(0, error);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    socket.connect((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
    socket.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    let mut bytes = 0;
    for sent in datagrams(seed) {
        exchange(&socket, &sent)?;
        bytes += sent.len() as u64;
    }
    Ok(Exchanged { bytes })
}

/// The datagrams of [`udp`].
pub fn datagrams(seed: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..).zip(DATAGRAMS.into_iter().cycle().take(3 * DATAGRAMS.len())).map(move |(round, length)| {
        let mut sent = vec![0; length];
        pattern::fill(pattern::splitmix64(seed ^ round), &mut sent);
        sent
    })
}

fn exchange(socket: &UdpSocket, sent: &[u8]) -> Result<(), EchoError> {
    let mut answer = [0; 2048];
    for _ in 0..ATTEMPTS {
        if interrupt::requested() {
            break;
        }
        socket.send(sent).map_err(|error| EchoError::Io(0, error))?;
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            match socket.recv(&mut answer) {
                Ok(n) if answer.get(..n) == Some(sent) => return Ok(()),
                // A late echo of an earlier attempt has another length; the same length must be the same.
                Ok(n) if n == sent.len() => {
                    return Err(EchoError::Wrong { offset: difference(sent, &answer) });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => break,
            }
        }
    }
    Err(EchoError::Lost(sent.len()))
}

fn difference(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).position(|(x, y)| x != y).unwrap_or(a.len()) as u64
}

/// Sends `bytes` through the echo service behind `port` while reading them back, then closes our side and
/// expects the guest to close its own.
///
/// # Errors
/// The first byte that is not the one sent, or a connection that fails or stops.
pub fn tcp(port: u16, seed: u64, bytes: usize) -> Result<Exchanged, EchoError> {
    tcp_within(port, seed, bytes, TCP_TIMEOUT)
}

/// As [`tcp`]; the stream may make no progress for `timeout` at most.
///
/// # Errors
/// As [`tcp`].
pub fn tcp_within(port: u16, seed: u64, bytes: usize, timeout: Duration) -> Result<Exchanged, EchoError> {
    let failed = |error| EchoError::Io(0, error);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
    stream.set_read_timeout(Some(timeout)).map_err(failed)?;
    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
    let mut sent = vec![0; bytes];
    pattern::fill(seed, &mut sent);
    let mut out = stream.try_clone().map_err(failed)?;
    std::thread::scope(|scope| {
        let sent = &sent;
        let writer = scope.spawn(move || out.write_all(sent).and_then(|()| out.shutdown(Shutdown::Write)));
        let mut got = 0;
        let mut block = vec![0; 1 << 16];
        let result = loop {
            match stream.read(&mut block) {
                Ok(0) if got == sent.len() => break Ok(Exchanged { bytes: got as u64 }),
                Ok(0) => break Err(EchoError::Short(got as u64)),
                Ok(n) => {
                    let expected = sent.get(got..got + n).unwrap_or_default();
                    if expected != &block[..n] {
                        break Err(EchoError::Wrong {
                            offset: got as u64 + difference(expected, &block[..n]),
                        });
                    }
                    got += n;
                }
                Err(error) => break Err(EchoError::Io(got as u64, error)),
            }
        };
        if result.is_err() {
            // Frees a writer that waits for room.
            drop(stream.shutdown(Shutdown::Both));
        }
        match writer.join() {
            Ok(Err(error)) if result.is_ok() => Err(EchoError::Io(bytes as u64, error)),
            _ => result,
        }
    })
}

/// UDP, one TCP connection, and two more at the same time.
///
/// # Errors
/// The first failure.
pub fn all(ports: Forwarded, seed: u64) -> Result<Exchanged, EchoError> {
    let mut bytes = udp(ports.udp, seed)?.bytes;
    bytes += tcp(ports.tcp, seed ^ 1, 100_000)?.bytes;
    bytes += std::thread::scope(|scope| {
        let pair = [2, 3].map(|i| scope.spawn(move || tcp(ports.tcp, seed ^ i, 20_000 + i as usize)));
        let mut sum = 0;
        for exchange in pair {
            sum += exchange.join().unwrap_or(Err(EchoError::Short(0)))?.bytes;
        }
        Ok(sum)
    })?;
    Ok(Exchanged { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// An echo service over TCP that changes the byte at `spoil`, if any.
    fn tcp_service(spoil: Option<usize>) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut block = [0; 1000];
            let mut at = 0;
            while let Ok(n @ 1..) = stream.read(&mut block) {
                if let Some(byte) = spoil.and_then(|s| s.checked_sub(at)).filter(|&i| i < n) {
                    block[byte] ^= 1;
                }
                at += n;
                if stream.write_all(&block[..n]).is_err() {
                    break;
                }
            }
        });
        port
    }

    #[test]
    fn a_tcp_echo_is_checked_to_the_last_byte() {
        assert_eq!(tcp(tcp_service(None), 5, 300_001).unwrap().bytes, 300_001);
        assert!(matches!(
            tcp(tcp_service(Some(300_000)), 5, 300_001),
            Err(EchoError::Wrong { offset: 300_000 })
        ));
    }

    #[test]
    fn a_tcp_echo_that_ends_early_is_short() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || drop(listener.accept()));
        assert!(tcp(port, 5, 1000).is_err());
    }

    #[test]
    fn a_udp_echo_is_checked() {
        for spoil in [false, true] {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = socket.local_addr().unwrap().port();
            std::thread::spawn(move || {
                let mut block = [0; 2048];
                while let Ok((n, from)) = socket.recv_from(&mut block) {
                    if spoil && n == 1024 {
                        block[1000] ^= 1;
                    }
                    socket.send_to(&block[..n], from).unwrap();
                }
            });
            match udp(port, 9) {
                Ok(exchanged) => {
                    assert!(!spoil && exchanged.bytes == 3 * DATAGRAMS.iter().sum::<usize>() as u64)
                }
                Err(EchoError::Wrong { offset: 1000 }) => assert!(spoil),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
