//! QEMU's monitor (QMP), for the one question that only QEMU can answer: which host ports it forwards.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long QEMU may take for its socket and for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Loopback ports that reach the guest's port 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// For UDP.
    pub udp: u16,
    /// For TCP.
    pub tcp: u16,
}

/// Why the ports are not known.
#[derive(Debug)]
pub enum MonitorError {
    /// The socket did not open or broke.
    Io(io::Error),
    /// The answer names no forwarded port for both protocols.
    NoPorts(String),
}

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "QEMU's monitor: {error}"),
            Self::NoPorts(answer) => write!(f, "QEMU's monitor names no forwarded ports: {answer}"),
        }
    }
}

impl From<io::Error> for MonitorError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Asks the QEMU behind `socket` for its forwarded ports.
///
/// # Errors
/// See [`MonitorError`].
pub fn forwarded(socket: &Path) -> Result<Forwarded, MonitorError> {
    let deadline = Instant::now() + PATIENCE;
    let stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    ask(&mut out, &mut input, "{\"execute\":\"qmp_capabilities\"}\n")?;
    let question =
        "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info usernet\"}}\n";
    let answer = ask(&mut out, &mut input, question)?;
    parse(&answer).ok_or(MonitorError::NoPorts(answer))
}

/// Sends one command and answers the line that replies to it; greeting and events are passed over.
fn ask(out: &mut UnixStream, input: &mut BufReader<UnixStream>, command: &str) -> io::Result<String> {
    out.write_all(command.as_bytes())?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with("{\"return\"") || line.starts_with("{\"error\"") {
            return Ok(line);
        }
    }
}

/// Finds the ports in `info usernet`'s table, one string in the JSON answer: protocol and state, file
/// descriptor, host address, host port, and so on.
fn parse(answer: &str) -> Option<Forwarded> {
    let port = |protocol: &str| {
        let (_, row) = answer.split_once(&format!("{protocol}[HOST_FORWARD]"))?;
        row.split_whitespace().nth(2)?.parse::<u16>().ok().filter(|&port| port != 0)
    };
    Some(Forwarded { udp: port("UDP")?, tcp: port("TCP")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_the_table() {
        let answer = "{\"return\": \"Hub -1 (net0):\\r\\n  Protocol[State]    FD  Source Address  Port   Dest. \
                      Address  Port RecvQ SendQ\\r\\n  TCP[HOST_FORWARD]   3       127.0.0.1 38135       \
                      10.0.2.15     7     0     0\\r\\n  UDP[HOST_FORWARD]   8       127.0.0.1 49801       \
                      10.0.2.15     7     0     0\\r\\n\"}";
        assert_eq!(parse(answer), Some(Forwarded { udp: 49801, tcp: 38135 }));
        assert_eq!(parse("{\"return\": \"\"}"), None);
    }
}
