//! Echo through a guest, measured from a process on the host.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How long an answer may take before it counts as lost.
const LOST: Duration = Duration::from_millis(200);
const TCP_PATIENCE: Duration = Duration::from_secs(30);

/// Datagrams that came back in a second, with `window` of them on their way.
pub fn datagrams(port: u16, bytes: usize, window: usize, time: Duration) -> io::Result<f64> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(LOST))?;
    let mut block = vec![0x5a; bytes.max(8)];
    let mut answer = vec![0; 2048];
    let (mut sent, mut back, mut waiting) = (0u64, 0u64, 0usize);
    let start = Instant::now();
    while start.elapsed() < time {
        while waiting < window {
            sent += 1;
            block[..8].copy_from_slice(&sent.to_le_bytes());
            socket.send(&block)?;
            waiting += 1;
        }
        match socket.recv(&mut answer) {
            Ok(n) if n == block.len() && answer[8..n] == block[8..n] => {
                back += 1;
                waiting -= 1;
            }
            Ok(_) => return Err(io::Error::other("an echo differs from what was sent")),
            // The whole window is lost.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                waiting = 0;
            }
            Err(error) => return Err(error),
        }
    }
    if back == 0 {
        return Err(io::Error::other("no datagram came back"));
    }
    Ok(back as f64 / start.elapsed().as_secs_f64())
}

/// Microseconds from a datagram to its echo, the middle of many.
pub fn round_trip(port: u16, time: Duration) -> io::Result<f64> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(LOST))?;
    let mut answer = [0; 64];
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < time {
        let sent = Instant::now();
        socket.send(&[0x5a; 64])?;
        if socket.recv(&mut answer).is_ok() {
            times.push(sent.elapsed());
        }
    }
    times.sort();
    let middle = times.get(times.len() / 2).ok_or_else(|| io::Error::other("no datagram came back"))?;
    Ok(middle.as_secs_f64() * 1e6)
}

/// Megabytes a second through a TCP echo: so many each way at the same time, each of them checked.
pub fn stream(port: u16, time: Duration) -> io::Result<f64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TCP_PATIENCE))?;
    stream.set_write_timeout(Some(TCP_PATIENCE))?;
    let mut out = stream.try_clone()?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> io::Result<u64> {
            let mut block = vec![0; 1 << 16];
            let mut sent = 0u64;
            while start.elapsed() < time {
                for (i, byte) in (sent..).zip(block.iter_mut()) {
                    *byte = expected(i);
                }
                out.write_all(&block)?;
                sent += block.len() as u64;
            }
            out.shutdown(Shutdown::Write)?;
            Ok(sent)
        });
        let mut block = vec![0; 1 << 16];
        let mut back = 0u64;
        let received = loop {
            match stream.read(&mut block) {
                Ok(0) => break Ok(()),
                Ok(n) if (back..).zip(&block[..n]).all(|(i, byte)| *byte == expected(i)) => back += n as u64,
                Ok(_) => break Err(io::Error::other("the stream came back changed")),
                Err(error) => break Err(error),
            }
        };
        let took = start.elapsed();
        if received.is_err() {
            // Frees a writer that waits for room; one that is gone does not mind.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let sent = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer died")));
        received?;
        if sent? != back {
            return Err(io::Error::other("the stream came back short"));
        }
        Ok(back as f64 / took.as_secs_f64() / 1e6)
    })
}

fn expected(index: u64) -> u8 {
    (index ^ index >> 8) as u8
}

/// One round's figures of a guest behind these ports.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// 64-byte datagrams echoed in a second.
    pub small: f64,
    /// 1400-byte datagrams echoed in a second.
    pub large: f64,
    /// Microseconds for one there and back.
    pub round_trip: f64,
    /// Megabytes a second each way.
    pub stream: f64,
}

/// Measures all four.
pub fn all(udp: u16, tcp: u16, time: Duration) -> io::Result<Figures> {
    // ARP, and whatever else happens only once.
    datagrams(udp, 64, 1, Duration::from_millis(100))?;
    Ok(Figures {
        small: datagrams(udp, 64, 32, time)?,
        large: datagrams(udp, 1400, 32, time)?,
        round_trip: round_trip(udp, time / 2)?,
        stream: stream(tcp, time)?,
    })
}
