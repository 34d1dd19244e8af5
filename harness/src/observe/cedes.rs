//! A guest's sleeps, from QEMU's log: it sets the decrementer (`-trace ppc_decr_store`) and calls H_CEDE (`-d int`).
//!
//! ```text
//! ppc_decr_store 56-bit 0x000000007ffee8d4 => 0x00000000009c324e
//! Raise exception at 0000000000435300 => SYSCALL (8) error=01
//! hypercall r3=00000000000000e0 r4=... nip=0000000000435300
//! Raise exception at 0000000000435304 => DECR (10) error=00
//! ```

/// The trace event, as QEMU's `-trace` takes it.
pub const EVENT: &str = "ppc_decr_store";
/// The log line of H_CEDE, the hypercall with which a CPU sleeps.
const CEDE: &str = "hypercall r3=00000000000000e0 ";

/// Every sleep of a run, all CPUs together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cedes {
    /// The decrementer's value, in ticks of the timebase, for each H_CEDE right after it was set.
    pub ticks: Vec<u64>,
    /// Other calls of H_CEDE.
    pub untimed: usize,
    /// External interrupts, each of which may have ended a sleep early.
    pub externals: usize,
    /// The decrementer's value, until another event than H_CEDE follows.
    set: Option<u64>,
}

impl Cedes {
    /// Reads one line of the log.
    pub fn take(&mut self, line: &str) {
        if let Some(stored) = line.strip_prefix(EVENT) {
            let value =
                stored.rsplit_once("=> 0x").and_then(|(_, value)| u64::from_str_radix(value, 16).ok());
            self.set = value;
        } else if line.starts_with(CEDE) {
            match self.set.take() {
                Some(ticks) => self.ticks.push(ticks),
                None => self.untimed += 1,
            }
        } else if line.starts_with("hypercall ") {
            self.set = None;
        } else if line.contains(" => EXTERNAL ") {
            self.externals += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cedes(log: &str) -> Cedes {
        let mut cedes = Cedes::default();
        log.lines().for_each(|line| cedes.take(line));
        cedes
    }

    #[test]
    fn a_cede_is_a_decrementer_and_the_call_that_follows() {
        let cedes = cedes(
            "ppc_decr_store 56-bit 0x000000007ffee8d4 => 0x00000000009c324e\n\
             Raise exception at 0000000000435300 => SYSCALL (8) error=01\n\
             hypercall r3=00000000000000e0 r4=0 nip=0000000000435300\n\
             Raise exception at 0000000000435304 => DECR (10) error=00\n\
             ppc_decr_store 56-bit 0x00ffffffffffff1b => 0x000000007fffffff\n\
             hypercall r3=0000000000000074 r4=0 nip=0000000000435580\n\
             hypercall r3=00000000000000e0 r4=0 nip=0000000000435300\n\
             Raise exception at 0000000000435304 => EXTERNAL (4) error=00\n",
        );
        assert_eq!((cedes.ticks, cedes.untimed, cedes.externals), (vec![0x9c_324e], 1, 1));
    }

    #[test]
    fn a_decrementer_alone_is_no_sleep() {
        let cedes = cedes("ppc_decr_store 56-bit 0x1 => 0x9\nppc_decr_store 56-bit 0x1 => 0x9\n");
        assert!(cedes.ticks.is_empty());
    }
}
