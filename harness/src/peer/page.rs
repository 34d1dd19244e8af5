//! A client of the guest's status page: raw sockets for invalid requests, curl for valid ones.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the guest may take for one answer, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before a refused client tries again.
const AGAIN: Duration = Duration::from_millis(50);

/// A fault that a client found.
#[derive(Debug)]
pub enum PageError {
    /// A socket failed.
    Io(io::Error),
    /// curl could not be run.
    Curl(io::Error),
    /// No answer came in time.
    NotServed,
    /// The answer is incomplete.
    Answer {
        /// The request.
        asked: &'static str,
        /// The missing text.
        missing: &'static str,
        /// The answer's first line.
        found: String,
    },
    /// A counter did not grow.
    Stands(&'static str),
    /// A page is served where there should be none.
    Served,
    /// The answer to HEAD has a body.
    Body,
    /// A second answer came on one connection.
    Second,
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "status page: {error}"),
            Self::Curl(error) => write!(f, "curl: {error}"),
            Self::NotServed => write!(f, "status page: no answer within {} s", TIMEOUT.as_secs()),
            Self::Answer { asked, missing, found } => {
                write!(f, "status page: {asked}: no {missing:?} in an answer that begins with {found:?}")
            }
            Self::Stands(counter) => write!(f, "status page: {counter} did not grow"),
            Self::Served => f.write_str("status page: it is served although it is off"),
            Self::Body => f.write_str("status page: HEAD is answered with the page itself"),
            Self::Second => f.write_str("status page: a connection has more than one answer"),
        }
    }
}

/// The guest's page behind a port on loopback.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub u16);

impl Client {
    /// A connection.
    ///
    /// # Errors
    /// See [`PageError`].
    pub fn connect(self) -> Result<TcpStream, PageError> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.0)).map_err(PageError::Io)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(PageError::Io)?;
        Ok(stream)
    }

    /// Sends these pieces, each in its own packet, and reads to the end; an empty answer if the guest resets.
    ///
    /// # Errors
    /// See [`PageError`].
    pub fn ask(self, pieces: &[&[u8]]) -> Result<String, PageError> {
        let mut stream = self.connect()?;
        stream.set_nodelay(true).map_err(PageError::Io)?;
        let mut answer = Vec::new();
        for piece in pieces {
            // A guest that has answered already may reset.
            if stream.write_all(piece).is_err() {
                break;
            }
            if pieces.len() > 1 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        match stream.read_to_end(&mut answer) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(PageError::NotServed)
            }
            _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
    }

    /// As [`Self::ask`], repeated until an answer comes; the answer has to contain `wanted`.
    ///
    /// # Errors
    /// See [`PageError`].
    pub fn expect(
        self,
        asked: &'static str,
        pieces: &[&[u8]],
        wanted: &'static str,
    ) -> Result<String, PageError> {
        let end = Instant::now() + TIMEOUT;
        while Instant::now() < end {
            let answer = self.ask(pieces)?;
            if !answer.is_empty() {
                return holds(answer, asked, wanted);
            }
            std::thread::sleep(AGAIN);
        }
        Err(PageError::NotServed)
    }

    /// The output of curl for this path, with these further arguments; it has to contain `wanted`.
    ///
    /// # Errors
    /// See [`PageError`].
    pub fn curl(self, path: &'static str, words: &[&str], wanted: &'static str) -> Result<String, PageError> {
        let timeout = TIMEOUT.as_secs().to_string();
        let mut command = Command::new("curl");
        command.args(["--silent", "--include", "--noproxy", "*", "--max-time", &timeout]);
        command.args(words).arg(format!("http://127.0.0.1:{}{path}", self.0));
        let output = command.output().map_err(PageError::Curl)?;
        holds(String::from_utf8_lossy(&output.stdout).into_owned(), path, wanted)
    }
}

/// Whether curl is installed.
#[must_use]
pub fn has_curl() -> bool {
    Command::new("curl").arg("--version").output().is_ok()
}

/// The value of a counter in Prometheus' text.
#[must_use]
pub fn counter(metrics: &str, name: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn holds(answer: String, asked: &'static str, missing: &'static str) -> Result<String, PageError> {
    if answer.contains(missing) {
        return Ok(answer);
    }
    let found = answer.lines().next().unwrap_or_default().to_owned();
    Err(PageError::Answer { asked, missing, found })
}

#[cfg(test)]
mod tests {
    use super::{counter, holds};

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let text = "# HELP a_total of a\n# TYPE a_total counter\na_total{device=\"net0\"} 7\nb 8\n";
        assert_eq!(counter(text, "a_total{device=\"net0\"}"), Some(7));
        assert_eq!((counter(text, "b"), counter(text, "c"), counter(text, "a_total")), (Some(8), None, None));
    }

    #[test]
    fn the_error_for_a_wrong_answer_shows_its_first_line() {
        let error = holds("HTTP/1.1 200 OK\r\nx".to_owned(), "/nothing", "404").unwrap_err();
        assert_eq!(
            error.to_string(),
            "status page: /nothing: no \"404\" in an answer that begins with \"HTTP/1.1 200 OK\""
        );
    }
}
