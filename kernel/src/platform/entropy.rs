//! The machine's random numbers. The boot CPU needs them while it brings devices up.

use crate::platform::lock;
use crate::platform::pseries::Pseries;
use netstack::random::Generator;
use papr::lock::Lock;
use postern_core::entropy::{Entropy, Quality, Sources};

static ENTROPY: Lock<Option<Entropy>> = Lock::new("random numbers", None);

/// Starts the random numbers from the CPU's own generator (`darn`).
pub fn open() {
    let entropy = Entropy::gather(&mut postern_arch::random, &Pseries);
    if entropy.quality() == Quality::Weak {
        log::warn!("darn does not answer: random numbers start from the timebase, which the host can guess");
    }
    *lock::or_end(&ENTROPY) = Some(entropy);
}

/// Mixes in bytes of a virtio-rng, which the host chooses.
pub fn stir_from_host(bytes: &[u8]) {
    with(|entropy| entropy.stir_from_host(bytes));
}

/// The sources of the random numbers. An ordinary guest trusts the host's bytes as a source, too.
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

/// One number of a new [`generator`].
pub fn word() -> u64 {
    generator().word()
}
