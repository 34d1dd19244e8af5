//! The machine's random numbers. They are needed while devices are brought up, by the CPU that booted.

use crate::platform::lock;
use crate::platform::pseries::Pseries;
use netstack::random::Generator;
use papr::lock::Lock;
use postern_core::entropy::{Entropy, Quality};

static ENTROPY: Lock<Option<Entropy>> = Lock::new("random numbers", None);

/// Gathers entropy, and says what it is worth.
pub fn open() -> Quality {
    let entropy = Entropy::gather(&mut postern_arch::random, &Pseries);
    let quality = entropy.quality();
    if quality == Quality::Weak {
        log::warn!("darn does not answer: random numbers start from the timebase, which the host can guess");
    }
    *lock::or_end(&ENTROPY) = Some(entropy);
    quality
}

/// A generator whose numbers a peer on the network cannot predict, for sequence numbers and made-up addresses.
pub fn generator() -> Generator {
    let mut entropy = lock::or_end(&ENTROPY);
    let entropy = entropy.get_or_insert_with(|| Entropy::gather(&mut postern_arch::random, &Pseries));
    entropy.fork(&mut postern_arch::random, &Pseries)
}

/// One number of such a generator.
pub fn word() -> u64 {
    generator().word()
}
