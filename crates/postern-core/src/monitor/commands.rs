//! The commands and their parser.

use super::editor::MAX_LINE;
use crate::cmdline::number;
use arrayvec::ArrayVec;
use core::fmt;
use core::net::Ipv4Addr;
use log::LevelFilter;
use papr::text::Escaped;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Nothing: a blank line.
    Nothing,
    /// The list of commands.
    Help,
    /// The disks and cards.
    Devices,
    /// The shared pool.
    Pool,
    /// The DMA windows.
    Tce,
    /// Interrupts.
    Irq,
    /// The CPUs.
    Cpus,
    /// The network cards.
    Net,
    /// A sector of a disk, in hexadecimal.
    BlkRead {
        /// Which sector of 512 bytes.
        sector: u64,
        /// Number of the disk.
        disk: usize,
    },
    /// An echo request.
    Ping(Ipv4Addr),
    /// The tests of the registry that this list names: names and patterns, between commas.
    Test(&'a str),
    /// The plain lines so far.
    Facts,
    /// What the log shows from now on.
    Log(LevelFilter),
    /// The end of the step.
    Off,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError<'a> {
    /// No command starts with this word.
    Unknown(&'a [u8]),
    /// The usage of the command.
    Usage(&'static str),
}

impl fmt::Display for CommandError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "{}: no command; help lists them", Escaped(word)),
            Self::Usage(usage) => write!(f, "usage: {usage}"),
        }
    }
}

/// A command for [`Command::Help`].
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// Its usage: its words, with values in capitals.
    pub usage: &'static str,
    /// What it is for.
    pub help: &'static str,
}

const fn help(usage: &'static str, help: &'static str) -> Help {
    Help { usage, help }
}

const BLK_READ: &str = "blk read SECTOR [DISK]";
const PING: &str = "ping A.B.C.D";
const TEST: &str = "test NAME,...";
const LOG: &str = "log off|error|warn|info|debug|trace";

/// Every command.
pub const COMMANDS: [Help; 13] = [
    help("help", "this list"),
    help("devices", "disks and network cards"),
    help("pool", "the shared pool, and what was copied"),
    help("tce", "the DMA windows, read back"),
    help("irq", "interrupts"),
    help("cpus", "CPUs, calls and time given up"),
    help("net", "addresses and frames"),
    help(BLK_READ, "a sector of blk0, or of another disk"),
    help(PING, "an echo request"),
    help(TEST, "tests of the registry; all runs each"),
    help("facts", "the plain lines so far"),
    help(LOG, "what the log shows from now on"),
    help("off", "ends the step; so does Ctrl-D"),
];

/// The second words of some commands, for completion.
const SECOND: [(&[u8], &[&str]); 2] =
    [(b"blk", &["read"]), (b"log", &["off", "error", "warn", "info", "debug", "trace"])];
/// Most words that a completion offers.
const MOST_CHOICES: usize = 16;

/// Reads a line.
///
/// # Errors
/// It is no command.
pub fn parse(line: &[u8]) -> Result<Command<'_>, CommandError<'_>> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return Ok(Command::Nothing) };
    let mut next = || words.next().and_then(|word| core::str::from_utf8(word).ok());
    let (command, usage) = match first {
        b"help" => (Some(Command::Help), "help"),
        b"devices" => (Some(Command::Devices), "devices"),
        b"pool" => (Some(Command::Pool), "pool"),
        b"tce" => (Some(Command::Tce), "tce"),
        b"irq" => (Some(Command::Irq), "irq"),
        b"cpus" => (Some(Command::Cpus), "cpus"),
        b"net" => (Some(Command::Net), "net"),
        b"facts" => (Some(Command::Facts), "facts"),
        b"off" => (Some(Command::Off), "off"),
        b"ping" => (next().and_then(|word| word.parse().ok()).map(Command::Ping), PING),
        b"test" => (next().map(Command::Test), TEST),
        b"log" => (next().and_then(level).map(Command::Log), LOG),
        b"blk" => {
            let read = next() == Some("read");
            let sector = next().and_then(number).filter(|_| read);
            let disk = match next() {
                None => Some(0),
                Some(word) => number(word).and_then(|disk| usize::try_from(disk).ok()),
            };
            (sector.zip(disk).map(|(sector, disk)| Command::BlkRead { sector, disk }), BLK_READ)
        }
        _ => return Err(CommandError::Unknown(first)),
    };
    // Refuse additional words.
    command.filter(|_| words.next().is_none()).ok_or(CommandError::Usage(usage))
}

fn level(word: &str) -> Option<LevelFilter> {
    Some(match word {
        "off" => LevelFilter::Off,
        "error" => LevelFilter::Error,
        "warn" => LevelFilter::Warn,
        "info" => LevelFilter::Info,
        "debug" => LevelFilter::Debug,
        "trace" => LevelFilter::Trace,
        _ => return None,
    })
}

/// The completions of a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Completion {
    /// The next characters that all choices share, and a blank after a single choice.
    pub more: ArrayVec<u8, MAX_LINE>,
    /// The words that complete the last word.
    pub choices: ArrayVec<&'static str, MOST_CHOICES>,
}

/// The completions of a line that starts with `before`.
pub(super) fn complete(before: &[u8]) -> Completion {
    let start = before.iter().rposition(|byte| *byte == b' ').map_or(0, |blank| blank.saturating_add(1));
    let (words, part) = before.split_at_checked(start).unwrap_or_default();
    let words = words.trim_ascii();
    let firsts = COMMANDS.iter().filter_map(|command| command.usage.split(' ').next());
    let firsts = firsts.filter(|_| words.is_empty());
    let seconds = SECOND.iter().filter(|(first, _)| *first == words).flat_map(|(_, seconds)| *seconds);
    let fits = |word: &&str| word.as_bytes().starts_with(part);
    let choices: ArrayVec<&'static str, MOST_CHOICES> =
        firsts.chain(seconds.copied()).filter(fits).take(MOST_CHOICES).collect();
    let mut more = ArrayVec::new();
    if let Some((first, others)) = choices.split_first() {
        let same = |at: &usize| {
            let byte = first.as_bytes().get(*at);
            byte.is_some() && others.iter().all(|other| other.as_bytes().get(*at) == byte)
        };
        let end = (part.len()..).take_while(same).count().saturating_add(part.len());
        more.extend(
            first.bytes().take(end).skip(part.len()).chain(others.is_empty().then_some(b' ')).take(MAX_LINE),
        );
    }
    Completion { more, choices }
}
