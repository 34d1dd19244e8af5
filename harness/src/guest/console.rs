//! A guest's console: a thread reads and keeps every byte that QEMU writes, and shows it live on request.

use crate::guest::firmware::Starts;
use crate::interrupt;
use crate::say;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Read};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most bytes kept of a guest that prints without end.
const KEEP: usize = 16 << 20;

/// Most bytes of a line that are buffered; a live copy shows a longer line in pieces of this size.
const LINE: usize = 1 << 20;

/// The prompt of the guest's monitor.
const PROMPT: &[u8] = b"> ";

/// Interval at which a waiting thread checks the flag of [`interrupt`].
const TICK: Duration = Duration::from_millis(50);

/// Where a live copy of each complete line goes.
pub type Live = Box<dyn FnMut(&str) + Send>;

#[derive(Debug, Default)]
struct Log {
    bytes: Vec<u8>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<Log>,
    grew: Condvar,
    /// See [`Console::idle_starts`].
    starts: AtomicU32,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that came out of one stream so far.
#[derive(Debug)]
pub struct Console {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

impl Console {
    /// Starts reading `stream` until it ends.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn new(stream: impl Read + Send + 'static, live: Option<Live>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let reader = std::thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || pump(stream, live, &theirs))?;
        Ok(Self { shared, reader: Some(reader) })
    }

    /// Everything so far, with unprintable bytes replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shared.log().bytes).into_owned()
    }

    /// Starts of SLOF after which the guest has printed no line.
    #[must_use]
    pub fn idle_starts(&self) -> u32 {
        self.shared.starts.load(Ordering::Relaxed)
    }

    /// Waits until a complete line fits, for `timeout` at most, and returns it without its line end;
    /// `None` when the time is over, the stream ended, or the user asked to stop.
    pub fn wait_for(&self, timeout: Duration, fits: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + timeout;
        let mut seen = 0;
        let mut log = self.shared.log();
        loop {
            while let Some(end) = log.bytes[seen..].iter().position(|&b| b == b'\n') {
                let line = String::from_utf8_lossy(&log.bytes[seen..seen + end]);
                let line = line.trim_end_matches('\r');
                if fits(line) {
                    return Some(line.to_owned());
                }
                seen += end + 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if log.ended || left.is_zero() || interrupt::requested() {
                return None;
            }
            log =
                self.shared.grew.wait_timeout(log, left.min(TICK)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the stream's end, which follows the end of its process.
    pub fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A panic of the reader thread is ignored.
            drop(reader.join());
        }
    }
}

fn pump(mut stream: impl Read, mut live: Option<Live>, shared: &Shared) {
    let mut block = [0; 4096];
    let mut line = Vec::new();
    let mut starts = Starts::default();
    let mut typing = Typing { on: live.is_some() && io::stdout().is_terminal(), shown: 0 };
    let mut take = |line: &mut Vec<u8>, typing: &mut Typing| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        shared.starts.store(starts.take(text), Ordering::Relaxed);
        if let Some(rest) = typing.end(line) {
            say!("{}", String::from_utf8_lossy(rest));
        } else if let Some(show) = live.as_mut() {
            show(text);
        }
        line.clear();
    };
    loop {
        let n = match stream.read(&mut block) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        {
            let mut log = shared.log();
            let room = KEEP.saturating_sub(log.bytes.len()).min(n);
            log.bytes.extend_from_slice(&block[..room]);
        }
        shared.grew.notify_all();
        for &byte in &block[..n] {
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() >= LINE {
                take(&mut line, &mut typing);
            }
        }
        if let Some(more) = typing.more(&line) {
            crate::out::write(format_args!("{}", String::from_utf8_lossy(more)));
        }
    }
    if !line.is_empty() {
        take(&mut line, &mut typing);
    }
    shared.log().ended = true;
    shared.grew.notify_all();
}

/// The line of the guest's monitor on which a user types: a terminal has to show it before it ends.
struct Typing {
    on: bool,
    /// Bytes of the line that were shown.
    shown: usize,
}

impl Typing {
    /// The bytes that are still to be shown of a line that has not ended.
    fn more<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        if !self.on || !line.starts_with(PROMPT) {
            return None;
        }
        let more = line.get(self.shown..).filter(|more| !more.is_empty());
        self.shown = line.len();
        more
    }

    /// The bytes that are still to be shown of a line that has ended, if a part of it was shown before.
    fn end<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        let shown = std::mem::take(&mut self.shown);
        line.get(shown..).filter(|_| shown > 0)
    }
}

/// A live copy on standard output. With `colour` the kernel's lines are coloured; without it firmware's control
/// sequences are removed.
#[must_use]
pub fn terminal(colour: bool) -> Live {
    Box::new(move |line| {
        let paint = if colour { paint(line) } else { "" };
        let reset = if paint.is_empty() { "" } else { "\x1b[0m" };
        let line = if colour { line.into() } else { plain(line) };
        // The guest's log is kept even if nobody reads our output.
        say!("{paint}{line}{reset}");
    })
}

/// A live copy on standard error.
#[must_use]
pub fn standard_error() -> Live {
    Box::new(|line| eprintln!("{}", plain(line)))
}

/// The line without control sequences (ECMA-48: escape, bracket, up to a byte from `@` to `~`).
fn plain(line: &str) -> Cow<'_, str> {
    if !line.contains('\x1b') {
        return line.into();
    }
    let mut parts = line.split('\x1b');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let after = match part.strip_prefix('[') {
            Some(rest) => rest.split_once(|c: char| ('@'..='~').contains(&c)).map_or("", |(_, after)| after),
            None => part,
        };
        out.push_str(after);
    }
    out.into()
}

/// Restores a terminal in which interrupted firmware may have left a colour and a hidden cursor.
pub fn restore_terminal() {
    if io::stdout().is_terminal() {
        say!("\x1b[0m\x1b[?25h");
    }
}

fn paint(line: &str) -> &'static str {
    const RED: &str = "\x1b[31m";
    const YELLOW: &str = "\x1b[33m";
    const GREEN: &str = "\x1b[32m";
    const DIM: &str = "\x1b[2m";
    let has = |word| line.split([' ', '[', ']', ':']).any(|w| w == word);
    if line == "EXIT: STATUS=0" {
        GREEN
    } else if line.starts_with("EXIT: STATUS=") || has("ERROR") {
        RED
    } else if line.starts_with("postern: ") {
        DIM
    } else if has("WARN") {
        YELLOW
    } else {
        ""
    }
}

/// The last `count` lines of a log.
#[must_use]
pub fn tail(log: &str, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_line_is_waited_for_until_the_stream_ends() {
        let (reader, mut writer) = io::pipe().unwrap();
        let console = Console::new(reader, None).unwrap();
        writer.write_all(b"first\r\nsec").unwrap();
        assert_eq!(console.wait_for(Duration::from_secs(120), |l| l == "first").as_deref(), Some("first"));
        assert_eq!(console.wait_for(Duration::from_millis(20), |l| l.starts_with("sec")), None);
        writer.write_all(b"ond\n").unwrap();
        assert_eq!(console.wait_for(Duration::from_secs(120), |l| l == "second").as_deref(), Some("second"));
        drop(writer);
        assert_eq!(console.wait_for(Duration::from_secs(60), |l| l == "third"), None);
    }

    #[test]
    fn live_lines_come_whole_and_without_line_ends() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let live: Live = Box::new(move |line| sink.lock().unwrap().push(line.to_owned()));
        let mut console = Console::new(&b"one\r\ntwo\nlast"[..], Some(live)).unwrap();
        console.join();
        assert_eq!(*lines.lock().unwrap(), ["one", "two", "last"]);
        assert_eq!(console.text(), "one\r\ntwo\nlast");
    }

    #[test]
    fn a_line_that_is_typed_is_shown_piece_by_piece_and_other_lines_when_they_end() {
        let mut typing = Typing { on: true, shown: 0 };
        assert_eq!(typing.more(b"[  0.1"), None);
        assert_eq!(typing.end(b"[  0.1] a line\r"), None);
        assert_eq!(typing.more(b"> "), Some(&b"> "[..]));
        assert_eq!(typing.more(b"> "), None);
        assert_eq!(typing.more(b"> he\x08 "), Some(&b"he\x08 "[..]));
        assert_eq!(typing.end(b"> he\x08 \r"), Some(&b"\r"[..]));
        assert_eq!(typing.end(b"an answer\r"), None);
        let mut piped = Typing { on: false, shown: 0 };
        assert_eq!((piped.more(b"> x"), piped.end(b"> x\r")), (None, None));
    }

    #[test]
    fn a_flood_is_kept_only_up_to_a_limit() {
        let mut console = Console::new(io::repeat(b'x').take(KEEP as u64 + 5000), None).unwrap();
        console.join();
        assert_eq!(console.text().len(), KEEP);
    }

    #[test]
    fn colour_marks_failure() {
        assert_eq!(paint("EXIT: STATUS=0"), "\x1b[32m");
        assert_eq!(paint("EXIT: STATUS=7"), "\x1b[31m");
        assert_eq!(paint("SLOF"), "");
    }

    #[test]
    fn control_sequences_are_removed() {
        assert_eq!(plain("SLOF\x1b[0m\x1b[?25l ***"), "SLOF ***");
        assert_eq!(plain("plain"), "plain");
        assert_eq!(plain("cut\x1b[12"), "cut");
        assert_eq!(plain("\x1bMup"), "Mup");
    }

    #[test]
    fn the_tail_has_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), ["b", "c"]);
        assert_eq!(tail("a", 5), ["a"]);
    }
}
