//! Waits until a QEMU with a stopped guest has nothing left to do.

use super::Client;
use rustix::net::sockopt::socket_peercred;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long QEMU may take for what is left.
const REST_TIME: Duration = Duration::from_secs(20);
/// Time between two checks, and how many checks in a row have to find that all threads sleep.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
const POLLS: u32 = 3;

impl Client {
    /// Waits until every thread of QEMU sleeps. Returns false if one still works after a long time, or QEMU's threads cannot
    /// be read.
    ///
    /// At each breakpoint QEMU 7.2 queues work for the vCPU that stopped, during which no other vCPU may run (`tb_flush` in
    /// `gdb_vm_state_change`). A deadlock follows if another vCPU is stepped before that vCPU's thread has begun the work,
    /// and the other one's hypercall waits for the first, as H_SIGNAL_SYS_RESET does (`run_on_cpu`). On an idle machine the
    /// thread begins long before.
    pub fn rest(&self) -> bool {
        let Ok(peer) = socket_peercred(&self.stream) else { return false };
        let threads = Path::new("/proc").join(peer.pid.as_raw_nonzero().to_string()).join("task");
        let deadline = Instant::now() + REST_TIME;
        let mut quiet = 0;
        while quiet < POLLS {
            if Instant::now() > deadline {
                return false;
            }
            quiet = if all_sleep(&threads) { quiet + 1 } else { 0 };
            std::thread::sleep(POLL_INTERVAL);
        }
        true
    }
}

fn all_sleep(threads: &Path) -> bool {
    let Ok(threads) = threads.read_dir() else { return false };
    threads.flatten().all(|thread| {
        // A thread that has ended counts as asleep.
        std::fs::read_to_string(thread.path().join("stat")).map_or(true, |stat| sleeps(&stat))
    })
}

/// Whether a thread with this line of proc_pid_stat(5) waits for something.
fn sleeps(stat: &str) -> bool {
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('S' | 'I'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gdb::packet::Decoder;
    use crate::gdb::target::Registers;
    use std::collections::VecDeque;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_thread_s_state_is_read_whatever_its_name() {
        assert!(sleeps("12 (qemu-system-ppc) S 1 12"));
        assert!(sleeps("12 (a) R (b) S 1 12"));
        assert!(!sleeps("12 (CPU 0/TCG) R 1 12"));
        assert!(!sleeps("12 (a) D 1") && !sleeps(""));
    }

    #[test]
    fn the_current_thread_does_not_sleep() {
        let (stream, _peer) = UnixStream::pair().expect("socket pair");
        let client = Client {
            stream,
            decoder: Decoder::default(),
            registers: Registers::default(),
            stops: VecDeque::new(),
        };
        let own = socket_peercred(&client.stream).expect("peer").pid.as_raw_nonzero().to_string();
        assert!(!all_sleep(&Path::new("/proc").join(own).join("task")));
    }
}
