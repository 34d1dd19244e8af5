//! The connection to QEMU's gdb server over a Unix socket.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::packet::{Decoder, Item, encode, from_hex, to_hex};
use super::target::{Register, Registers, included};

mod control;
mod rest;

/// How long an answer to a command may take while the guest is stopped.
const ANSWER_TIME: Duration = Duration::from_secs(120);
/// How often in a row a connection to an existing socket may be refused.
const DEAF: u32 = 40;
/// How often a damaged packet is asked for, or sent, again.
const REPEATS: u32 = 5;
/// Bytes of a description file asked for at a time; QEMU's packets hold 4096 characters.
const CHUNK: usize = 0x7f0;
/// No description is longer than this.
const MAX_DESCRIPTION: usize = 1 << 20;
/// SIGTRAP: what a breakpoint or a single step stops with.
const SIGTRAP: u8 = 5;

/// Why the conversation failed.
#[derive(Debug)]
pub enum GdbError {
    /// The server is gone: QEMU ended.
    Gone,
    /// The socket failed otherwise.
    Io(io::Error),
    /// No answer in time to this command.
    Timeout(String),
    /// The answer to this command was not what the protocol allows.
    Unexpected {
        /// The command.
        command: String,
        /// What came back.
        answer: String,
    },
    /// The target has no register of this name.
    NoRegister(&'static str),
}

impl fmt::Display for GdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => write!(f, "QEMU closed its gdb server"),
            Self::Io(error) => write!(f, "gdb socket: {error}"),
            Self::Timeout(command) => write!(f, "no answer from the gdb server to `{command}`"),
            Self::Unexpected { command, answer } => {
                write!(f, "the gdb server answered `{command}` with `{answer}`")
            }
            Self::NoRegister(name) => write!(f, "the gdb server's target has no register {name}"),
        }
    }
}

impl std::error::Error for GdbError {}

impl From<io::Error> for GdbError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::UnexpectedEof => Self::Gone,
            _ => Self::Io(error),
        }
    }
}

/// Why the guest has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A breakpoint or a finished step, in the thread (vCPU) of this name.
    Trap {
        /// Thread id as the server spells it.
        thread: String,
    },
    /// Stopped by something else (a monitor's `stop`, a guest panic), which has to resume it.
    Other {
        /// Signal number of the stop reply.
        signal: u8,
    },
    /// QEMU says that it ends.
    Exited,
}

/// A connection to a gdb server.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    decoder: Decoder,
    registers: Registers,
    /// Stop replies that came while an answer to a command was awaited.
    stops: VecDeque<Vec<u8>>,
}

impl Client {
    /// Connects, waiting up to `timeout` for the socket to appear, and reads the target's description; before that QEMU
    /// knows only the first registers. A socket that disappears means that QEMU has ended.
    ///
    /// # Errors
    /// [`GdbError`] if there is no server or it does not describe its target.
    pub fn connect(socket: &Path, timeout: Duration) -> Result<Self, GdbError> {
        let deadline = Instant::now() + timeout;
        let mut gone = 0;
        let stream = loop {
            let error = match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => error,
            };
            // QEMU listens at once on a socket that it has made, and may leave it behind when it ends.
            gone = match error.kind() {
                io::ErrorKind::ConnectionRefused => gone + 1,
                io::ErrorKind::NotFound if gone > 0 => DEAF,
                _ => gone,
            };
            if gone >= DEAF {
                return Err(GdbError::Gone);
            }
            if Instant::now() >= deadline {
                return Err(GdbError::Io(error));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut client = Self {
            stream,
            decoder: Decoder::default(),
            registers: Registers::default(),
            stops: VecDeque::new(),
        };
        client.ask("qSupported:xmlRegisters=powerpc")?;
        let target = client.description("target.xml")?;
        client.registers.add(&target);
        for file in included(&target) {
            let xml = client.description(&file)?;
            client.registers.add(&xml);
        }
        Ok(client)
    }

    fn description(&mut self, file: &str) -> Result<String, GdbError> {
        let mut text = Vec::new();
        loop {
            let command = format!("qXfer:features:read:{file}:{:x},{CHUNK:x}", text.len());
            let answer = self.ask(&command)?;
            match answer.split_first() {
                Some((b'm', part)) if !part.is_empty() && text.len() < MAX_DESCRIPTION => {
                    text.extend_from_slice(part);
                }
                Some((b'l', part)) => {
                    text.extend_from_slice(part);
                    return Ok(String::from_utf8_lossy(&text).into_owned());
                }
                _ => return Err(unexpected(&command, &answer)),
            }
        }
    }

    /// Number and size of a register.
    ///
    /// # Errors
    /// [`GdbError::NoRegister`].
    pub fn register(&self, name: &'static str) -> Result<Register, GdbError> {
        self.registers.find(name).ok_or(GdbError::NoRegister(name))
    }

    /// Reads a register's bytes, which are in the byte order that the guest's MSR\[LE\] sets at this moment.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn read_register(&mut self, register: Register) -> Result<Vec<u8>, GdbError> {
        let command = format!("p{:x}", register.number);
        let answer = self.ask(&command)?;
        match from_hex(&answer) {
            Some(bytes) if bytes.len() == register.bytes => Ok(bytes),
            _ => Err(unexpected(&command, &answer)),
        }
    }

    /// Writes a register's bytes, in the same order.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn write_register(&mut self, register: Register, bytes: &[u8]) -> Result<(), GdbError> {
        self.order(&format!("P{:x}={}", register.number, to_hex(bytes)))
    }

    /// Reads memory at an effective address, as the selected thread would translate it now. `None` if it
    /// cannot be translated.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn read_memory(&mut self, address: u64, length: usize) -> Result<Option<Vec<u8>>, GdbError> {
        let answer = self.ask(&format!("m{address:x},{length:x}"))?;
        Ok(from_hex(&answer).filter(|bytes| bytes.len() == length))
    }

    /// Writes memory at an effective address, likewise.
    ///
    /// # Errors
    /// [`GdbError`], also when it cannot be translated.
    pub fn write_memory(&mut self, address: u64, bytes: &[u8]) -> Result<(), GdbError> {
        self.order(&format!("M{address:x},{:x}:{}", bytes.len(), to_hex(bytes)))
    }

    /// Sets a software breakpoint on an address, for all vCPUs.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn set_breakpoint(&mut self, address: u64) -> Result<(), GdbError> {
        self.order(&format!("Z0,{address:x},4"))
    }

    /// Takes a software breakpoint back.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn clear_breakpoint(&mut self, address: u64) -> Result<(), GdbError> {
        self.order(&format!("z0,{address:x},4"))
    }

    /// Selects the thread for further register accesses.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn select_thread(&mut self, thread: &str) -> Result<(), GdbError> {
        self.order(&format!("Hg{thread}"))
    }

    /// Lets all vCPUs run.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn resume(&mut self) -> Result<(), GdbError> {
        self.send("vCont;c")
    }

    /// Lets one vCPU execute one instruction, the others none, and waits for that. Breakpoints have no effect while
    /// stepping, so this steps past one.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn step(&mut self, thread: &str) -> Result<Stop, GdbError> {
        self.send(&format!("vCont;s:{thread}"))?;
        self.wait_for_stop()
    }

    /// Runs a command of QEMU's human monitor and gives its output.
    ///
    /// # Errors
    /// [`GdbError`].
    pub fn monitor(&mut self, command: &str) -> Result<String, GdbError> {
        let mut answer = self.ask(&format!("qRcmd,{}", to_hex(command.as_bytes())))?;
        let mut output = Vec::new();
        let deadline = Instant::now() + ANSWER_TIME;
        while answer != b"OK" {
            match answer.strip_prefix(b"O").and_then(from_hex) {
                Some(text) => output.extend_from_slice(&text),
                None => return Err(unexpected(command, &answer)),
            }
            answer = self.receive(Some(deadline))?.ok_or_else(|| GdbError::Timeout(command.to_owned()))?;
        }
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn order(&mut self, command: &str) -> Result<(), GdbError> {
        let answer = self.ask(command)?;
        if answer == b"OK" { Ok(()) } else { Err(unexpected(command, &answer)) }
    }

    fn ask(&mut self, command: &str) -> Result<Vec<u8>, GdbError> {
        self.send(command)?;
        let deadline = Instant::now() + ANSWER_TIME;
        loop {
            match self.receive(Some(deadline))? {
                None => return Err(GdbError::Timeout(command.to_owned())),
                Some(packet) => match packet.first() {
                    Some(b'T' | b'S') => self.stops.push_back(packet),
                    Some(b'W' | b'X') => return Err(GdbError::Gone),
                    _ => return Ok(packet),
                },
            }
        }
    }

    /// Sends a packet and waits until it is acknowledged; packets that arrive first are kept.
    fn send(&mut self, command: &str) -> Result<(), GdbError> {
        let packet = encode(command);
        let deadline = Instant::now() + ANSWER_TIME;
        for _ in 0..REPEATS {
            self.stream.write_all(&packet)?;
            loop {
                match self.next_item(Some(deadline))? {
                    None => return Err(GdbError::Timeout(command.to_owned())),
                    Some(Item::Ack) => return Ok(()),
                    Some(Item::Nack) => break,
                    Some(Item::Packet(packet)) => {
                        self.stream.write_all(b"+")?;
                        self.stops.push_back(packet);
                    }
                    Some(Item::Damaged) => self.stream.write_all(b"-")?,
                }
            }
        }
        Err(GdbError::Timeout(command.to_owned()))
    }

    /// The next packet; `None` when the deadline passed.
    fn receive(&mut self, deadline: Option<Instant>) -> Result<Option<Vec<u8>>, GdbError> {
        loop {
            match self.next_item(deadline)? {
                None => return Ok(None),
                Some(Item::Packet(packet)) => {
                    self.stream.write_all(b"+")?;
                    return Ok(Some(packet));
                }
                Some(Item::Damaged) => self.stream.write_all(b"-")?,
                Some(Item::Ack | Item::Nack) => {}
            }
        }
    }

    fn next_item(&mut self, deadline: Option<Instant>) -> Result<Option<Item>, GdbError> {
        loop {
            if let Some(item) = self.decoder.next_item() {
                return Ok(Some(item));
            }
            let left = match deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => return Ok(None),
                },
            };
            self.stream.set_read_timeout(left)?;
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(GdbError::Gone),
                Ok(length) => self.decoder.feed(&bytes[..length]),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {}
                    _ => return Err(error.into()),
                },
            }
        }
    }
}

fn unexpected(command: &str, answer: &[u8]) -> GdbError {
    GdbError::Unexpected { command: command.to_owned(), answer: String::from_utf8_lossy(answer).into_owned() }
}

fn stop_reply(packet: &[u8]) -> Result<Stop, GdbError> {
    let text = String::from_utf8_lossy(packet);
    let signal = text.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let signal = signal.ok_or_else(|| unexpected("vCont", packet))?;
    if signal != SIGTRAP {
        return Ok(Stop::Other { signal });
    }
    let pairs = text.get(3..).unwrap_or_default().split(';');
    let thread = pairs.filter_map(|pair| pair.strip_prefix("thread:")).next().unwrap_or("1");
    Ok(Stop::Trap { thread: thread.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_replies_name_their_thread() {
        let stop = |text: &str| stop_reply(text.as_bytes()).expect("a stop reply");
        assert_eq!(stop("T05thread:02;"), Stop::Trap { thread: "02".into() });
        assert_eq!(stop("T05swbreak:;thread:p1.1;"), Stop::Trap { thread: "p1.1".into() });
        assert_eq!(stop("S05"), Stop::Trap { thread: "1".into() });
        assert_eq!(stop("T02thread:01;"), Stop::Other { signal: 2 });
        assert!(stop_reply(b"Tzz").is_err());
    }

    #[test]
    fn a_server_that_leaves_is_gone() {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        drop(theirs);
        let mut client = Client {
            stream: ours,
            decoder: Decoder::default(),
            registers: Registers::default(),
            stops: VecDeque::new(),
        };
        assert!(matches!(client.resume(), Err(GdbError::Gone)));
        assert!(matches!(client.wait_for_stop(), Err(GdbError::Gone)));
    }
}
