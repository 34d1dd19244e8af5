//! QEMU's log, read from its FIFO while it is written.

use crate::observe::cedes::{self, Cedes};
use postern_ultravisor::fifo::Fifo;
use postern_ultravisor::requests::Requests;
use postern_ultravisor::requests::is_interrupt;
use postern_ultravisor::strict::Block;
use postern_ultravisor::trace::Trace;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The content of a log.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The I/O memory management unit's events.
    pub trace: Trace,
    /// The guest's requests to the host.
    pub requests: Requests,
    /// RTAS argument blocks, read from memory right after a call: usually that call's.
    pub blocks: BTreeSet<Block>,
    /// The guest's sleeps, if its decrementer was traced.
    pub cedes: Cedes,
}

/// The reading thread's results without the events.
#[derive(Debug, Default)]
struct Account {
    requests: Requests,
    blocks: BTreeSet<Block>,
    cedes: Cedes,
}

/// A log that is being read. Dropping it ends the reading once QEMU has ended.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    ended: Arc<AtomicBool>,
    /// All lines that are not of an interrupt, such as trace events.
    events: Arc<Mutex<String>>,
    thread: Option<JoinHandle<Account>>,
}

impl Log {
    /// Makes the FIFO at `path` and begins to read it. `memory` is the file that is guest memory.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn open(path: PathBuf, memory: Option<PathBuf>) -> io::Result<Self> {
        let fifo = Fifo::make(&path)?;
        let (ended, events): (Arc<AtomicBool>, _) = (Arc::default(), Arc::default());
        let reader =
            Reader { memory, opened: None, events: Arc::clone(&events), account: Account::default() };
        let mark = Arc::clone(&ended);
        let run = move || reader.run(fifo, &mark);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(run)?;
        Ok(Self { path, ended, events, thread: Some(thread) })
    }

    /// The FIFO.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The trace so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        Trace::parse(&self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything, once QEMU has ended.
    #[must_use]
    pub fn finish(mut self) -> Said {
        self.ended.store(true, Ordering::Release);
        let Account { requests, blocks, cedes } = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(read)) => read,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Account::default(),
        };
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        Said { trace: Trace::parse(&events), requests, blocks, cedes }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

struct Reader {
    memory: Option<PathBuf>,
    opened: Option<File>,
    events: Arc<Mutex<String>>,
    account: Account,
}

impl Reader {
    /// Reads to the end. An error ends the log; observers do not accept an incomplete log.
    fn run(mut self, fifo: Fifo, ended: &AtomicBool) -> Account {
        drop(fifo.lines(ended, |line| self.take(line)));
        self.account
    }

    fn take(&mut self, line: &str) {
        self.account.cedes.take(line);
        if line.starts_with(cedes::EVENT) {
            // Lines of interrupts are too many to be kept.
        } else if !is_interrupt(line) {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.push_str(line);
            events.push('\n');
        } else if let Some(address) = self.account.requests.take(line) {
            if self.opened.is_none() {
                self.opened = self.memory.as_ref().and_then(|path| File::open(path).ok());
            }
            let read = self.opened.as_ref().and_then(|memory| Block::read(memory, address));
            self.account.blocks.extend(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn written(dir: &Path, text: &str) -> Said {
        std::fs::write(dir.join("memory"), [0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 2]).unwrap();
        let log = Log::open(dir.join("log"), Some(dir.join("memory"))).unwrap();
        let mut fifo = File::options().write(true).open(log.path()).unwrap();
        fifo.write_all(text.as_bytes()).unwrap();
        drop(fifo);
        log.finish()
    }

    #[test]
    fn events_requests_and_blocks_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let said = written(
            dir.path(),
            "spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x2000003 ret=0\n\
             hypercall r3=f000 r4=0 r5=0 r6=0 r7=0 nip=400000\n\
             syscall r0=0 r3=f110 nip=0\n\
             hypercall r3=f000 r4=0 r5=0 r6=0 r7=0 nip=400000\n",
        );
        assert_eq!(said.trace.kernel.len(), 1);
        assert_eq!((said.requests.before.count, said.requests.after.unwrap().count), (1, 1));
        assert_eq!(said.blocks.into_iter().collect::<Vec<_>>(), [Block { address: 0, nargs: 4, nret: 2 }]);
    }

    #[test]
    fn reading_ends_if_qemu_never_opens_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let said = Log::open(dir.path().join("log"), None).unwrap().finish();
        assert_eq!(said.requests, Requests::default());
    }
}
