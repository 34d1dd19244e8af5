//! Checks the memory map that `run=map` states: start, end and rights of each run of pages.

use crate::guest::report::Report;
use postern_ultravisor::{FRAME_SHIFT, FRAME_SIZE};
use std::fmt;
use std::ops::Range;

/// A run of equal mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Addresses.
    pub range: Range<u64>,
    /// Loads are allowed.
    pub read: bool,
    /// Stores are allowed.
    pub write: bool,
    /// Fetches are allowed.
    pub execute: bool,
}

/// A map that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapViolation {
    /// The guest stated no map.
    Nothing,
    /// A line that is no run of pages.
    Unread(String),
    /// Runs that overlap or are out of order: the second.
    Disorder(Run),
    /// A run is writable and executable.
    WriteAndExecute(Run),
    /// No run is executable: this cannot be the map in use.
    NoText,
    /// The first frame is mapped; a null pointer would reach it.
    FirstFrame(Run),
    /// A run lies outside memory; device registers are accessed by hypercalls.
    OutsideMemory(Run),
    /// The shared frames are not a separate run.
    PoolNotApart(Range<u64>),
    /// The shared frames have other rights than read and write.
    PoolRights(Run),
    /// A frame of the ultravisor is mapped.
    Reserved(u64),
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let right = |allowed, letter| if allowed { letter } else { '-' };
        let (r, w, x) = (right(self.read, 'r'), right(self.write, 'w'), right(self.execute, 'x'));
        write!(f, "{:#x} to {:#x} {r}{w}{x}", self.range.start, self.range.end)
    }
}

impl fmt::Display for MapViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no map was stated"),
            Self::Unread(line) => write!(f, "not a run of pages: {line}"),
            Self::Disorder(run) => write!(f, "{run} overlaps what comes before it"),
            Self::WriteAndExecute(run) => write!(f, "{run} is writable and executable"),
            Self::NoText => f.write_str("nothing is executable"),
            Self::FirstFrame(run) => write!(f, "{run} maps address 0"),
            Self::OutsideMemory(run) => write!(f, "{run} leaves memory"),
            Self::PoolNotApart(pool) => {
                write!(f, "the shared frames {:#x} to {:#x} are no run of their own", pool.start, pool.end)
            }
            Self::PoolRights(run) => write!(f, "{run} is the pool, which is rw-"),
            Self::Reserved(at) => write!(f, "the ultravisor's frame at {at:#x} is mapped"),
        }
    }
}

/// Reads `start end rights`.
fn run(text: &str) -> Option<Run> {
    let mut words = text.split(' ');
    let mut address = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let range = address()?..address()?;
    let &[r, w, x] = words.next()?.as_bytes() else { return None };
    let right = |found: u8, letter: u8| match found {
        b'-' => Some(false),
        _ => (found == letter).then_some(true),
    };
    let run = Run { range, read: right(r, b'r')?, write: right(w, b'w')?, execute: right(x, b'x')? };
    (words.next().is_none() && run.range.start < run.range.end).then_some(run)
}

/// Compares the map in `report` with `memory` bytes of RAM, the shared frames, and the addresses of frames that the
/// ultravisor took.
#[must_use]
pub fn violations(
    report: &Report,
    memory: u64,
    shared: &[Range<u64>],
    reserved: &[u64],
) -> Vec<MapViolation> {
    let mut found = Vec::new();
    let mut runs: Vec<Run> = Vec::new();
    for line in (0..).map_while(|n| report.fact(&format!("map.{n}"))) {
        match run(line) {
            Some(run) if runs.last().is_some_and(|last| last.range.end > run.range.start) => {
                found.push(MapViolation::Disorder(run));
            }
            Some(run) => runs.push(run),
            None => found.push(MapViolation::Unread(line.to_owned())),
        }
    }
    if runs.is_empty() {
        found.push(MapViolation::Nothing);
    } else if !runs.iter().any(|run| run.execute) {
        found.push(MapViolation::NoText);
    }
    for run in &runs {
        if run.write && run.execute {
            found.push(MapViolation::WriteAndExecute(run.clone()));
        }
        if run.range.start < FRAME_SIZE {
            found.push(MapViolation::FirstFrame(run.clone()));
        }
        if run.range.end > memory {
            found.push(MapViolation::OutsideMemory(run.clone()));
        }
        let frame = |at: &&u64| run.range.start < **at + FRAME_SIZE && **at < run.range.end;
        found.extend(reserved.iter().filter(frame).map(|at| MapViolation::Reserved(*at)));
    }
    for frames in shared {
        let pool = frames.start << FRAME_SHIFT..frames.end << FRAME_SHIFT;
        match runs.iter().find(|run| run.range == pool) {
            None => found.push(MapViolation::PoolNotApart(pool)),
            Some(run) if !run.read || !run.write || run.execute => {
                found.push(MapViolation::PoolRights(run.clone()));
            }
            Some(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: Range<u64> = 0x70..0xf0;
    const GOOD: [&str; 4] =
        ["0x10000 0x400000 rw-", "0x400000 0x480000 r-x", "0x700000 0xf00000 rw-", "0xf00000 0x1ff00000 rw-"];

    fn judge(lines: &[&str]) -> Vec<MapViolation> {
        let log: String =
            lines.iter().enumerate().map(|(n, line)| format!("postern: map.{n}={line}\n")).collect();
        violations(&Report::parse(&log), 512 << 20, std::slice::from_ref(&POOL), &[0x1ff0_0000])
    }

    fn with(index: usize, line: &'static str) -> Vec<MapViolation> {
        let mut lines = GOOD;
        lines[index] = line;
        judge(&lines)
    }

    #[test]
    fn a_sound_map_passes() {
        assert_eq!(judge(&GOOD), []);
    }

    #[test]
    fn a_breach_of_each_rule_is_found() {
        assert!(matches!(with(1, "0x400000 0x480000 rwx")[..], [MapViolation::WriteAndExecute(_)]));
        assert!(matches!(with(1, "0x400000 0x480000 r--")[..], [MapViolation::NoText]));
        assert!(matches!(with(0, "0x0 0x400000 rw-")[..], [MapViolation::FirstFrame(_)]));
        assert!(matches!(with(2, "0x700000 0xf00000 r--")[..], [MapViolation::PoolRights(_)]));
        assert!(matches!(with(2, "0x700000 0xef0000 rw-")[..], [MapViolation::PoolNotApart(_)]));
        assert!(matches!(with(3, "0xf00000 0x1ff10000 rw-")[..], [MapViolation::Reserved(_)]));
        assert!(matches!(with(3, "0x20000000 0x20010000 rw-")[..], [MapViolation::OutsideMemory(_)]));
        assert!(matches!(with(3, "0xe00000 0x1ff00000 rw-")[..], [MapViolation::Disorder(_)]));
    }

    #[test]
    fn a_line_that_is_no_run_of_pages_is_a_finding() {
        for bad in ["0x400000 0x480000", "0x400000 0x480000 r-x x", "400000 0x480000 r-x", "0x1 0x1 r--", "x"]
        {
            assert!(with(1, bad).contains(&MapViolation::Unread(bad.to_owned())), "{bad}");
        }
        assert!(judge(&[]).contains(&MapViolation::Nothing));
    }
}
