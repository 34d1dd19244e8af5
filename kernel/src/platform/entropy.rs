//! The machine's random numbers. They are needed while devices are brought up, by the CPU that booted.

use crate::platform::lock;
use crate::platform::pseries::Pseries;
use netstack::random::Generator;
use papr::lock::Lock;
use postern_core::entropy::{Entropy, Quality, Sources};

static ENTROPY: Lock<Option<Entropy>> = Lock::new("random numbers", None);

/// Gathers what the CPU gives.
pub fn open() {
    let entropy = Entropy::gather(&mut postern_arch::random, &Pseries);
    if entropy.quality() == Quality::Weak {
        log::warn!("darn does not answer: random numbers start from the timebase, which the host can guess");
    }
    *lock::or_end(&ENTROPY) = Some(entropy);
}

/// Mixes in what a device of the host's gave.
pub fn stir_from_host(bytes: &[u8]) {
    with(|entropy| entropy.stir_from_host(bytes));
}

/// What the numbers were started from; the host of an ordinary guest is trusted with them.
pub fn sources(secure: bool) -> Sources {
    with(|entropy| entropy.sources(!secure))
}

fn with<T>(job: impl FnOnce(&mut Entropy) -> T) -> T {
    let mut entropy = lock::or_end(&ENTROPY);
    job(entropy.get_or_insert_with(|| Entropy::gather(&mut postern_arch::random, &Pseries)))
}

/// A generator whose numbers a peer on the network cannot predict, for sequence numbers and made-up addresses.
pub fn generator() -> Generator {
    with(|entropy| entropy.fork(&mut postern_arch::random, &Pseries))
}

/// One number of such a generator.
pub fn word() -> u64 {
    generator().word()
}
