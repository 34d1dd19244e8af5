//! Random numbers: `darn`, the CPU's own generator. Never the hypervisor's alone.

use crate::platform::pseries::Pseries;
use postern_core::clock::Clock;

/// `darn` may fail a few times in a row on a healthy machine (Power ISA 3.0B, book I 3.3.9: all ones).
const TRIES: usize = 16;

/// A word that a peer on the network cannot predict: sequence numbers and made-up addresses, not keys. From
/// `darn` where it answers, else from the timebase, which is said once.
pub fn word() -> u64 {
    for _ in 0..TRIES {
        if let Some(word) = postern_arch::random() {
            return word;
        }
    }
    log::warn!("darn does not answer: sequence numbers start from the timebase");
    Pseries.now().wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
