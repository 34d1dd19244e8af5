//! The seed of random numbers: the CPU's own generator (`darn`), with the timebase mixed in. No hypercall for random
//! numbers is made, because the hypervisor would choose them. Bytes of its devices (virtio-rng) are mixed in as well:
//! they can only add entropy, and a secure guest does not count them.

use alloc::vec::Vec;
use core::fmt;
use netstack::random::Generator;
use papr::clock::Clock;

/// Words of the CPU's generator for the seed, and for a later reseed.
const START: usize = 8;
const LATER: usize = 2;
/// `darn` may fail a few times in a row on a healthy machine (Power ISA 3.0B, book I 3.3.9: all ones).
const TRIES: usize = 16;
/// Samples of the timebase: the time between two of them varies a little.
const SAMPLES: usize = 64;

/// The quality of the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// The CPU's generator answered.
    Darn,
    /// The generator gave nothing, or always the same number. Only samples of the timebase are left, which the host can
    /// guess.
    Weak,
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Darn => "darn",
            Self::Weak => "weak",
        })
    }
}

/// All sources of the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The CPU's generator.
    pub quality: Quality,
    /// Whether a device gave bytes.
    pub host: bool,
    /// Whether the host may know the numbers: true in a normal guest.
    pub host_trusted: bool,
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.quality, self.host) {
            (quality, false) => quality.fmt(f),
            (Quality::Weak, true) if self.host_trusted => f.write_str("virtio-rng"),
            (quality, true) => write!(f, "{quality},virtio-rng"),
        }
    }
}

/// The machine's random numbers.
#[derive(Debug)]
pub struct Entropy {
    generator: Generator,
    quality: Quality,
    host: bool,
}

impl Entropy {
    /// Seeds from all sources of the CPU. `darn` returns a conditioned number, or `None` if there is none right now.
    pub fn gather(darn: &mut dyn FnMut() -> Option<u64>, clock: &impl Clock) -> Self {
        let mut words = words(START, darn);
        let first = words.first().copied();
        let varied = words.iter().any(|word| Some(*word) != first);
        let quality = if words.len() == START && varied { Quality::Darn } else { Quality::Weak };
        for _ in 0..SAMPLES {
            words.push(clock.now());
            clock.relax();
        }
        Self { generator: Generator::new(&words), quality, host: false }
    }

    /// The quality of the seed.
    #[must_use]
    pub fn quality(&self) -> Quality {
        self.quality
    }

    /// [`Self::quality`], and whether the host gave bytes since. `host_trusted`: this is a normal guest.
    #[must_use]
    pub fn sources(&self, host_trusted: bool) -> Sources {
        Sources { quality: self.quality, host: self.host, host_trusted }
    }

    /// Mixes in bytes that the host chose or may know.
    pub fn stir_from_host(&mut self, bytes: &[u8]) {
        let words: Vec<u64> = bytes.chunks(8).map(word).collect();
        self.generator.stir(&words);
        self.host |= !bytes.is_empty();
    }

    /// Mixes in new numbers, and returns an independent generator.
    pub fn fork(&mut self, darn: &mut dyn FnMut() -> Option<u64>, clock: &impl Clock) -> Generator {
        let mut words = words(LATER, darn);
        words.push(clock.now());
        self.generator.stir(&words);
        self.generator.fork()
    }
}

/// Up to eight bytes as a number.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Up to `count` words.
fn words(count: usize, darn: &mut dyn FnMut() -> Option<u64>) -> Vec<u64> {
    (0..count).filter_map(|_| (0..TRIES).find_map(|_| darn())).collect()
}

#[cfg(test)]
mod tests {
    use super::{Entropy, Quality, START, Sources};
    use core::cell::Cell;
    use papr::clock::Clock;
    use postern_cases::case;
    use std::collections::BTreeSet;
    use std::format;

    /// A clock that advances by one at each read.
    #[derive(Default)]
    struct TestClock(Cell<u64>);

    impl Clock for TestClock {
        fn now(&self) -> u64 {
            self.0.replace(self.0.get() + 1)
        }
        fn frequency(&self) -> u64 {
            512_000_000
        }
        fn relax(&self) {}
    }

    fn gather(mut darn: impl FnMut() -> Option<u64>) -> Entropy {
        Entropy::gather(&mut darn, &TestClock::default())
    }

    #[test]
    fn a_machine_without_a_generator_says_so_and_works() {
        case!("RND-04", Work);
        let mut number = 0;
        let healthy = gather(|| {
            number += 1;
            (number % 3 == 0).then_some(number)
        });
        assert_eq!(healthy.quality(), Quality::Darn);
        assert_eq!(gather(|| None).quality(), Quality::Weak);
        assert_eq!(gather(|| Some(7)).quality(), Quality::Weak, "always the same");
        let mut left = START - 1;
        let dries_up = gather(|| {
            left = left.checked_sub(1)?;
            Some(left as u64)
        });
        assert_eq!(dries_up.quality(), Quality::Weak);
        let mut weak = gather(|| None);
        let mut words = || weak.fork(&mut || None, &TestClock::default()).word();
        assert_ne!(words(), words());
    }

    #[test]
    fn a_generator_that_has_no_number_is_asked_sixteen_times_for_each() {
        let mut asked = 0;
        gather(|| {
            asked += 1;
            None
        });
        assert_eq!(asked, START * 16);
    }

    #[test]
    fn each_fork_is_new_and_none_shows_its_state() {
        case!("RND-05", Work);
        let mut entropy = gather(|| None);
        let clock = TestClock::default();
        let seen: BTreeSet<u64> = (0..1000).map(|_| entropy.fork(&mut || Some(1), &clock).word()).collect();
        assert_eq!(seen.len(), 1000);
        assert_eq!(
            format!("{entropy:?}"),
            "Entropy { generator: Generator(..), quality: Weak, host: false }"
        );
    }

    #[test]
    fn bytes_of_the_host_do_not_weaken_the_generator_or_count_in_a_secure_guest() {
        case!("RND-07", Work);
        // Two machines whose CPUs differ, and a host that gives both the same: their numbers differ as before.
        let first = |darn: u64, bytes: &[u8]| {
            let mut number = darn;
            let mut entropy = gather(|| {
                number += 1;
                Some(number)
            });
            entropy.stir_from_host(bytes);
            entropy.fork(&mut || None, &TestClock::default()).word()
        };
        let mut seen = BTreeSet::new();
        for darn in [0, 100] {
            for bytes in [&[][..], &[0; 64], &[0; 8], &[0xff; 64], &[1]] {
                assert!(seen.insert(first(darn, bytes)), "{darn} {bytes:?}");
            }
        }
        let told = |quality, host, host_trusted| format!("{}", Sources { quality, host, host_trusted });
        for host_trusted in [true, false] {
            assert_eq!(told(Quality::Darn, true, host_trusted), "darn,virtio-rng");
            assert_eq!(told(Quality::Weak, false, host_trusted), "weak");
        }
        assert_eq!(told(Quality::Weak, true, true), "virtio-rng");
        assert_eq!(told(Quality::Weak, true, false), "weak,virtio-rng", "never by itself");
        let mut weak = gather(|| None);
        weak.stir_from_host(&[]);
        assert!(!weak.sources(true).host);
        weak.stir_from_host(&[7]);
        assert_eq!(weak.sources(false), Sources { quality: Quality::Weak, host: true, host_trusted: false });
    }

    #[test]
    fn every_word_of_the_cpu_counts() {
        let first = |odd: usize| {
            let mut number = 0;
            let mut entropy = gather(|| {
                number += 1;
                Some(if number == odd { 1 << 40 } else { number as u64 })
            });
            entropy.fork(&mut || None, &TestClock::default()).word()
        };
        let all: BTreeSet<u64> = (0..=START).map(first).collect();
        assert_eq!(all.len(), START + 1);
    }
}
