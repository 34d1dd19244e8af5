//! Logging through the `log` crate: to the consoles by `loglevel=`, and always to a private ring, so that
//! a failure can show what was not printed. Works before the heap exists and never allocates.

use crate::platform::console;
use crate::platform::pseries::Pseries;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use log::{Level, LevelFilter, Log, Metadata, Record};
use papr::clock::{Clock, duration};
use papr::lock::Lock;
use papr::text::SingleLine;

const RING_SIZE: usize = 16 * 1024;
const LINE_SIZE: usize = 240;
/// The log level of the ring, whatever the console shows.
const RING_LEVEL: LevelFilter = LevelFilter::Debug;

struct Ring {
    bytes: [u8; RING_SIZE],
    /// Bytes ever written; the newest lies before `written % RING_SIZE`.
    written: usize,
}

impl Ring {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.written % RING_SIZE) {
            *place = byte;
        }
        self.written = self.written.saturating_add(1);
    }

    /// The bytes that are kept, the oldest first.
    fn kept(&self) -> impl Iterator<Item = u8> {
        let all = self.written.saturating_sub(RING_SIZE)..self.written;
        all.filter_map(|at| self.bytes.get(at % RING_SIZE).copied())
    }
}

static RING: Lock<Ring> = Lock::new("log", Ring { bytes: [0; RING_SIZE], written: 0 });
static CONSOLE_LEVEL: AtomicUsize = AtomicUsize::new(LevelFilter::Info as usize);
static SUPPRESSED: AtomicUsize = AtomicUsize::new(0);
static ENTRY_TICKS: AtomicU64 = AtomicU64::new(0);

struct Logger;
static LOGGER: Logger = Logger;

/// Starts logging; times count from here.
pub fn init() {
    ENTRY_TICKS.store(Pseries.now(), Ordering::Relaxed);
    // A second call would be refused by `log` and change nothing.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(LevelFilter::Trace);
}

/// Time since the kernel's entry.
pub fn since_entry() -> Duration {
    duration(&Pseries, Pseries.now().wrapping_sub(ENTRY_TICKS.load(Ordering::Relaxed)))
}

/// Sets the log level of the console.
pub fn set_console_level(level: LevelFilter) {
    CONSOLE_LEVEL.store(level as usize, Ordering::Relaxed);
    log::set_max_level(level.max(RING_LEVEL));
}

/// Prints the whole ring, if it holds a line that the console has not shown.
pub fn show_suppressed() {
    if SUPPRESSED.swap(0, Ordering::Relaxed) == 0 {
        return;
    }
    let Some(ring) = RING.try_take(&Pseries) else { return };
    console::write("--- log kept so far ---\n");
    let mut line = Line::new();
    for byte in ring.kept() {
        line.push(byte);
        if byte == b'\n' {
            console::write(line.as_str());
            line = Line::new();
        }
    }
    console::write("--- end of log ---\n");
}

/// Writes everything that the ring holds to a console that is attached late.
pub fn replay(mut put: impl FnMut(&[u8])) {
    let Ok(ring) = RING.take(&Pseries) else { return };
    for byte in ring.kept() {
        if byte == b'\n' {
            put(b"\r");
        }
        put(&[byte]);
    }
}

/// One line of log text; what does not fit is cut.
struct Line {
    bytes: [u8; LINE_SIZE],
    len: usize,
}

impl Line {
    const fn new() -> Self {
        Self { bytes: [0; LINE_SIZE], len: 0 }
    }

    fn push(&mut self, byte: u8) {
        // The last byte is kept for the line's end.
        let room = if byte == b'\n' { LINE_SIZE } else { LINE_SIZE - 1 };
        if let Some(place) = self.bytes.get_mut(..room).and_then(|places| places.get_mut(self.len)) {
            *place = byte;
            self.len = self.len.saturating_add(1);
        }
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        // One piece, unless a character was cut at the line's end.
        bytes.utf8_chunks().next().map_or("", |piece| piece.valid())
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let since = since_entry();
        let mut line = Line::new();
        let mark = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info => "",
            Level::Debug | Level::Trace => "  ",
        };
        // A `Line` never fails; it cuts.
        let (seconds, micros) = (since.as_secs(), since.subsec_micros());
        let _ = write!(SingleLine(&mut line), "[{seconds:3}.{micros:06}] {mark}{}", record.args());
        line.push(b'\n');
        if record.level() <= RING_LEVEL
            && let Some(mut ring) = RING.try_take(&Pseries)
        {
            line.as_str().bytes().for_each(|byte| ring.push(byte));
        }
        if record.level() as usize <= CONSOLE_LEVEL.load(Ordering::Relaxed) {
            console::write(line.as_str());
        } else if record.level() <= RING_LEVEL {
            SUPPRESSED.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}
