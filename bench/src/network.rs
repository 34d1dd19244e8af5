//! Echo through a guest, measured from a process on the host.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Time after which an answer counts as lost.
const LOST: Duration = Duration::from_millis(200);
/// The same where a loss ends the measurement.
const LOST_FOR_GOOD: Duration = Duration::from_secs(5);
/// Datagrams in flight at the same time.
pub const WINDOW: usize = 32;
/// Period of the source's pattern in bytes (RFC 864: 95 lines of 74).
const PERIOD: usize = 95 * 74;
const TCP_TIMEOUT: Duration = Duration::from_secs(30);

/// When an exchange is over.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Passed(Duration),
    /// After this number of datagrams, or bytes of a stream.
    Done(u64),
}

impl Until {
    /// Whether an exchange that began at `start` and has done `done` goes on.
    fn more(self, start: Instant, done: u64) -> bool {
        match self {
            Self::Passed(time) => start.elapsed() < time,
            Self::Done(count) => done < count,
        }
    }
}

/// The result of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    /// Datagrams, or bytes of a stream.
    pub amount: u64,
    time: Duration,
}

impl Moved {
    fn since(start: Instant, amount: u64) -> Self {
        Self { amount, time: start.elapsed() }
    }

    /// Amount per second.
    pub fn rate(self) -> f64 {
        self.amount as f64 / self.time.as_secs_f64()
    }

    /// Millions per second.
    pub fn millions(self) -> f64 {
        self.rate() / 1e6
    }
}

/// Datagrams that came back, with `window` of them in flight. With [`Until::Done`] none is sent twice: a lost one is an
/// error.
pub fn datagrams(port: u16, bytes: usize, window: usize, until: Until) -> io::Result<Moved> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    let timeout = if matches!(until, Until::Passed(_)) { LOST } else { LOST_FOR_GOOD };
    socket.set_read_timeout(Some(timeout))?;
    let mut block = vec![0x5a; bytes.max(8)];
    let mut answer = vec![0; 2048];
    let (mut sent, mut back, mut waiting) = (0u64, 0u64, 0usize);
    let start = Instant::now();
    while until.more(start, back) {
        while waiting < window && until.more(start, sent) {
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
            Err(error)
                if matches!(until, Until::Passed(_))
                    && matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                waiting = 0;
            }
            Err(error) => return Err(error),
        }
    }
    if back == 0 {
        return Err(io::Error::other("no datagram came back"));
    }
    Ok(Moved::since(start, back))
}

/// Microseconds from a datagram to its echo: the median of many.
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

/// Bytes through a TCP echo, in both directions at the same time; each byte is checked.
pub fn stream(port: u16, time: Duration) -> io::Result<Moved> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TCP_TIMEOUT))?;
    stream.set_write_timeout(Some(TCP_TIMEOUT))?;
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
        let moved = Moved::since(start, back);
        if received.is_err() {
            // Ends a writer that waits for room, if it still runs.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let sent = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer thread panicked")));
        received?;
        if sent? != back {
            return Err(io::Error::other("the end of the stream did not come back"));
        }
        Ok(moved)
    })
}

/// RFC 864: lines of 72 printing characters and a line end; each line begins with the next character.
fn pattern_byte(index: usize) -> u8 {
    match (index / 74, index % 74) {
        (_, 72) => b'\r',
        (_, 73) => b'\n',
        (line, column) => b' ' + ((line + column) % 95) as u8,
    }
}

fn expected(index: u64) -> u8 {
    (index ^ index >> 8) as u8
}

/// Bytes into a guest's discard service, until the guest has acknowledged the last byte.
pub fn stream_in(port: u16, until: Until) -> io::Result<Moved> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TCP_TIMEOUT))?;
    stream.set_write_timeout(Some(TCP_TIMEOUT))?;
    let block = vec![0x5a; 1 << 16];
    let (mut sent, start) = (0u64, Instant::now());
    while until.more(start, sent) {
        stream.write_all(&block)?;
        sent += block.len() as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    if stream.read(&mut [0])? != 0 {
        return Err(io::Error::other("the discard service sent data"));
    }
    Ok(Moved::since(start, sent))
}

/// Bytes out of a guest's source, each checked. At the end this side closes, and the guest ends the stream, so that no
/// byte is in flight afterwards.
pub fn stream_out(port: u16, until: Until) -> io::Result<Moved> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TCP_TIMEOUT))?;
    let mut block = vec![0; 1 << 16];
    let period: Vec<u8> = (0..PERIOD).map(pattern_byte).collect();
    let (mut back, mut over, start) = (0usize, false, Instant::now());
    loop {
        let n = stream.read(&mut block)?;
        let expected = period.iter().cycle().skip(back % PERIOD);
        if !block[..n].iter().eq(expected.take(n)) {
            return Err(io::Error::other("the source sent something else"));
        }
        back += n;
        if n == 0 && over {
            return Ok(Moved::since(start, back as u64));
        } else if n == 0 {
            return Err(io::Error::other("the source ended"));
        } else if !over && !until.more(start, back as u64) {
            over = true;
            stream.shutdown(Shutdown::Write)?;
        }
    }
}

/// Datagrams of 1400 bytes from a guest's source, one for each datagram of one byte.
pub fn datagrams_out(port: u16, time: Duration) -> io::Result<Moved> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(LOST))?;
    let mut answer = [0; 2048];
    let (mut back, mut waiting, start) = (0u64, 0usize, Instant::now());
    while start.elapsed() < time {
        while waiting < WINDOW {
            socket.send(&[0])?;
            waiting += 1;
        }
        match socket.recv(&mut answer) {
            Ok(1400) => (back, waiting) = (back + 1, waiting.saturating_sub(1)),
            Ok(_) => return Err(io::Error::other("a datagram of another length")),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                waiting = 0;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Moved::since(start, back))
}

/// Sends datagrams of 1400 bytes to a guest's sink, with an echo after every few so that not too many are in flight;
/// returns the seconds. The guest counts the received ones.
pub fn datagrams_in(sink: u16, echo: u16, time: Duration) -> io::Result<f64> {
    let [sink, echo] = [sink, echo].map(|port| -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(LOST))?;
        Ok(socket)
    });
    let (sink, echo, start) = (sink?, echo?, Instant::now());
    let mark = |echo: &UdpSocket| -> io::Result<()> {
        for _ in 0..WINDOW / 2 {
            sink.send(&[0x5a; 1400])?;
        }
        echo.send(&[0; 8]).map(drop)
    };
    mark(&echo)?;
    while start.elapsed() < time {
        mark(&echo)?;
        // A lost echo only costs time.
        let _ = echo.recv(&mut [0; 64]);
    }
    let _ = echo.recv(&mut [0; 64]);
    Ok(start.elapsed().as_secs_f64())
}

/// One round's figures of a guest behind these ports.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// 64-byte datagrams echoed in a second.
    pub small: f64,
    /// 1400-byte datagrams echoed in a second.
    pub large: f64,
    /// Microseconds for one round trip.
    pub round_trip: f64,
    /// Megabytes a second in each direction.
    pub stream: f64,
}

/// Measures all four.
pub fn all(udp: u16, tcp: u16, time: Duration) -> io::Result<Figures> {
    let until = Until::Passed(time);
    // Not measured: ARP and other work that happens only once.
    datagrams(udp, 64, 1, Until::Passed(Duration::from_millis(100)))?;
    Ok(Figures {
        small: datagrams(udp, 64, WINDOW, until)?.rate(),
        large: datagrams(udp, 1400, WINDOW, until)?.rate(),
        round_trip: round_trip(udp, time / 2)?,
        stream: stream(tcp, time)?.millions(),
    })
}
