//! Reads QEMU's log. Hypercalls are processed as they come; the devices' accesses are kept until the ultracalls are known,
//! by which they are judged.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::devices::{Devices, EVENT, judge};
use crate::fifo::Fifo;
use crate::log::CallRecord;
use crate::requests::{Requests, is_interrupt};

/// Where QEMU's log goes.
#[derive(Debug)]
pub enum Log {
    /// To the user's own file, which is read at the end.
    File(PathBuf),
    /// Through a FIFO of the run's.
    Piped(Piped),
}

/// What comes through a FIFO.
#[derive(Debug)]
pub struct Piped {
    ended: Arc<AtomicBool>,
    requests: Arc<Mutex<Requests>>,
    events: PathBuf,
    thread: JoinHandle<io::Result<()>>,
}

/// The contents of the log.
#[derive(Debug, Default)]
pub struct Said {
    /// Of hypercalls.
    pub requests: Requests,
    /// Of devices.
    pub devices: Devices,
}

impl Log {
    /// Makes the FIFO; the lines that are kept go to the file `events`.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn pipe(fifo: &Path, events: PathBuf) -> io::Result<Self> {
        let fifo = Fifo::make(fifo)?;
        let mut kept = BufWriter::new(File::create(&events)?);
        let ended: Arc<AtomicBool> = Arc::default();
        let requests = Arc::new(Mutex::new(Requests::of_any_guest()));
        let (mark, taken) = (Arc::clone(&ended), Arc::clone(&requests));
        let read = move || {
            let mut lost = Ok(());
            fifo.lines(&mark, |line| {
                if is_interrupt(line) {
                    take(&mut lock(&taken), line);
                } else if line.contains(EVENT) && lost.is_ok() {
                    lost = writeln!(kept, "{line}");
                }
            })?;
            lost.and_then(|()| kept.flush())
        };
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(read)?;
        Ok(Self::Piped(Piped { ended, requests, events, thread }))
    }

    /// The hypercalls so far, where they are read as they come.
    pub fn requests(&self) -> Option<MutexGuard<'_, Requests>> {
        match self {
            Self::File(_) => None,
            Self::Piped(piped) => Some(lock(&piped.requests)),
        }
    }

    /// Everything, once QEMU has ended, with the accesses of devices judged by these calls.
    ///
    /// # Errors
    /// The log cannot be read, or what has to be kept of it cannot be written.
    pub fn finish(self, calls: &[CallRecord]) -> io::Result<Said> {
        match self {
            Self::Piped(piped) => {
                piped.ended.store(true, Ordering::Release);
                match piped.thread.join() {
                    Ok(read) => read?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
                let devices = judge(BufReader::new(File::open(&piped.events)?), calls)?;
                let requests = std::mem::take(&mut *lock(&piped.requests));
                Ok(Said { requests, devices })
            }
            Self::File(path) => {
                let file = match File::open(&path) {
                    // QEMU makes it with its first line.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Said::default()),
                    file => file?,
                };
                let mut requests = Requests::of_any_guest();
                for line in BufReader::new(file).split(b'\n') {
                    take(&mut requests, &String::from_utf8_lossy(&line?));
                }
                Ok(Said { requests, devices: judge(BufReader::new(File::open(&path)?), calls)? })
            }
        }
    }
}

/// Takes a line, except lines of exceptions: they are not needed here, and a guest takes millions.
fn take(requests: &mut Requests, line: &str) {
    if !line.starts_with("Raise exception ") {
        let _ = requests.take(line);
    }
}

fn lock(requests: &Mutex<Requests>) -> MutexGuard<'_, Requests> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "syscall r0=0 r3=f110 r4=0 r5=0 nip=0\n\
        Raise exception at 0000000000000700 => HV_EMU (96) error=21\n\
        hypercall r3=44 r4=0 r5=0 r6=0 r7=0 nip=8\n\
        7@0.000005:spapr_iommu_xlate liobn=0x80000001 0x0 -> 0x200000 perm=3 mask=fff\n";

    #[test]
    fn a_pipe_and_a_file_give_the_same_log_without_exceptions() {
        let dir = tempfile::tempdir().expect("folder");
        let (fifo, events, file) =
            (dir.path().join("fifo"), dir.path().join("events"), dir.path().join("file"));
        std::fs::write(&file, LOG).expect("file");
        let piped = Log::pipe(&fifo, events.clone()).expect("log");
        let mut writer = File::options().write(true).open(&fifo).expect("fifo");
        writer.write_all(LOG.as_bytes()).expect("written");
        drop(writer);
        for log in [piped, Log::File(file)] {
            let said = log.finish(&[]).expect("said");
            let after = said.requests.after.expect("part");
            assert_eq!((after.count, after.taken.len(), said.devices.before), (1, 0, 1));
        }
        assert_eq!(std::fs::read_to_string(events).expect("events").lines().count(), 1);
    }

    #[test]
    fn a_missing_log_is_empty() {
        let said = Log::File("/nowhere/log".into()).finish(&[]).expect("said");
        assert_eq!((said.requests, said.devices), (Requests::default(), Devices::default()));
    }
}
