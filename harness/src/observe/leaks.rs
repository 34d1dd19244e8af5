//! Searches every byte of shared memory for secrets: canaries that the guest planted in private memory, addresses of
//! private memory, data of completed requests, and the content of the ESM blob's file.

use crate::pattern::splitmix64;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const FRAME_SHIFT: u32 = 16;
/// Canary words that the guest plants: splitmix64(seed + i).
const CANARIES: u64 = 512;
/// Address at which QEMU loads the kernel; numbers below it are treated as lengths and sectors, not as addresses.
const LOWEST_ADDRESS: u64 = 4 << 20;
const ZEROS: [u8; 1 << 12] = [0; 1 << 12];
/// One word is kept of this many bytes of data.
const SAMPLE: usize = 512;

/// A kind of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A word that the guest planted.
    Canary,
    /// A word of a completed request, with the kind of request.
    Done(&'static str),
    /// An address of memory that is not shared.
    Address(u64),
    /// A word of a file of the ESM blob.
    Blob,
}

/// A secret in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Guest physical address.
    pub at: u64,
    /// The kind of secret.
    pub secret: Secret,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared memory at {:#x} holds ", self.at)?;
        match self.secret {
            Secret::Canary => f.write_str("a canary of private memory"),
            Secret::Done(what) => write!(f, "data of {what}, which is done"),
            Secret::Blob => f.write_str("a part of the ESM blob's secret"),
            Secret::Address(address) => write!(f, "the private address {address:#x}"),
        }
    }
}

/// The secrets for the search.
#[derive(Clone, Debug)]
pub struct Secrets {
    words: HashMap<u64, Secret>,
    /// The lower 16 bits of every word, for a quick first comparison.
    tails: Vec<bool>,
    memory: u64,
}

impl Secrets {
    /// No secrets, and no search for addresses.
    #[must_use]
    pub fn none() -> Self {
        Self { words: HashMap::new(), tails: vec![false; 1 << 16], memory: 0 }
    }

    /// The canaries of a seed, and addresses in a guest of `memory` bytes.
    #[must_use]
    pub fn new(seed: u64, memory: u64) -> Self {
        let mut secrets = Self { memory, ..Self::none() };
        for index in 0..CANARIES {
            secrets.add(splitmix64(seed.wrapping_add(index)), Secret::Canary);
        }
        secrets
    }

    fn add(&mut self, word: u64, secret: Secret) {
        // Zero is in cleared memory, and all ones is no secret either.
        if word != 0 && word != u64::MAX {
            self.words.insert(word, secret);
            self.tails[usize::from(word as u16)] = true;
        }
    }

    /// Adds the data of completed requests.
    pub fn done(&mut self, what: &'static str, data: &[u8]) {
        for word in data.chunks(SAMPLE).filter_map(|sample| sample.first_chunk()) {
            self.add(u64::from_le_bytes(*word), Secret::Done(what));
        }
    }

    /// Adds the content of a file of the ESM blob: each word, as bytes and as in a register of UV_ESMB_GET_FILE. Any 15
    /// bytes in a row are found at any address.
    pub fn blob(&mut self, data: &[u8]) {
        for word in data.as_chunks().0 {
            self.add(u64::from_le_bytes(*word), Secret::Blob);
            self.add(u64::from_be_bytes(*word), Secret::Blob);
        }
    }

    /// Searches frames of guest memory, given as ranges of 64 KiB frame numbers. In an available or a used ring, adjacent
    /// descriptor numbers look like low addresses: [`outside`] removes them.
    ///
    /// # Errors
    /// The file.
    pub fn search(&self, memory: &File, shared: &[Range<u64>]) -> io::Result<Vec<Leak>> {
        let mut leaks = Vec::new();
        for run in shared {
            let start = run.start << FRAME_SHIFT;
            let mut bytes = vec![0; usize::try_from((run.end - run.start) << FRAME_SHIFT).unwrap_or(0)];
            memory.read_exact_at(&mut bytes, start)?;
            self.search_run(start, &bytes, shared, &mut leaks);
        }
        Ok(leaks)
    }

    fn search_run(&self, start: u64, bytes: &[u8], shared: &[Range<u64>], leaks: &mut Vec<Leak>) {
        // Most pages are zero.
        for (page, content) in (0..).step_by(1 << 12).zip(bytes.chunks(1 << 12)) {
            if *content == ZEROS[..content.len()] {
                continue;
            }
            // Words may reach into the next page.
            let reach = &bytes[page..bytes.len().min(page + content.len() + 7)];
            for (offset, window) in reach.windows(8).enumerate() {
                let Some(window) = window.first_chunk() else { continue };
                let word = u64::from_le_bytes(*window);
                let at = start + (page + offset) as u64;
                if self.tails[usize::from(word as u16)]
                    && let Some(&secret) = self.words.get(&word)
                {
                    leaks.push(Leak { at, secret });
                } else if at.is_multiple_of(8) && self.is_private(word, shared) {
                    leaks.push(Leak { at, secret: Secret::Address(word) });
                }
            }
        }
    }

    fn is_private(&self, word: u64, shared: &[Range<u64>]) -> bool {
        (LOWEST_ADDRESS..self.memory).contains(&word)
            && !shared.iter().any(|run| run.contains(&(word >> FRAME_SHIFT)))
    }
}

/// Removes addresses that lie in one of `rings`: the byte ranges of available and used rings, which hold only numbers.
/// Canaries and data in them stay.
#[must_use]
pub fn outside(leaks: Vec<Leak>, rings: &[Range<u64>]) -> Vec<Leak> {
    let numbers = |leak: &Leak| {
        matches!(leak.secret, Secret::Address(_)) && rings.iter().any(|ring| ring.contains(&leak.at))
    };
    leaks.into_iter().filter(|leak| !numbers(leak)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SHARED: Range<u64> = 2..4;

    fn search(place: u64, bytes: &[u8]) -> Vec<Leak> {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(8 << 16).unwrap();
        file.write_all_at(bytes, place).unwrap();
        file.flush().unwrap();
        let mut secrets = Secrets::new(77, 1 << 30);
        secrets.done("a read", &[9; 600]);
        secrets.search(&file, std::slice::from_ref(&SHARED)).unwrap()
    }

    #[test]
    fn memory_without_secrets_is_clean() {
        assert_eq!(search(0, &[]), []);
        // An address of the pool, a length, and secrets in private memory.
        assert_eq!(search(0x2_0000, &0x2_1000_u64.to_le_bytes()), []);
        assert_eq!(search(0x2_0000, &4096_u64.to_le_bytes()), []);
        assert_eq!(search(0x1_0000, &splitmix64(77).to_le_bytes()), []);
    }

    #[test]
    fn a_canary_is_found_at_any_offset() {
        for at in [0x2_0000, 0x2_0ffd, 0x3_fff8, 0x2_1003] {
            let expected = Leak { at, secret: Secret::Canary };
            assert_eq!(search(at, &splitmix64(77 + 511).to_le_bytes()), [expected]);
        }
    }

    #[test]
    fn a_private_address_and_data_of_a_request_that_is_done_are_found() {
        let leak = search(0x2_0010, &0x50_0008_u64.to_le_bytes());
        assert_eq!(leak, [Leak { at: 0x2_0010, secret: Secret::Address(0x50_0008) }]);
        let leak = search(0x2_0013, &[9; 8]);
        assert_eq!(leak, [Leak { at: 0x2_0013, secret: Secret::Done("a read") }]);
    }

    #[test]
    fn a_part_of_a_blob_s_secret_is_found_at_any_offset_and_as_a_register_has_it() {
        let secret: Vec<u8> = (0..200).map(|n: u8| n.wrapping_mul(73) ^ 0x5a).collect();
        let mut secrets = Secrets::none();
        secrets.blob(&secret);
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 << 16).unwrap();
        let search = |at, bytes: &[u8]| {
            file.write_all_at(bytes, at).unwrap();
            let found = secrets.search(&file, std::slice::from_ref(&(0..8))).unwrap();
            file.write_all_at(&vec![0; bytes.len()], at).unwrap();
            found.into_iter().map(|leak| (leak.at, leak.secret)).collect::<Vec<_>>()
        };
        for shift in 0..8 {
            // Any 15 bytes contain a whole word.
            assert_eq!(
                search(0x2_0ffb, &secret[shift..shift + 15]),
                [(0x2_0ffb + (8 - shift as u64) % 8, Secret::Blob)]
            );
        }
        let register: Vec<u8> = secret[8..16].iter().rev().copied().collect();
        assert_eq!(search(0x10, &register), [(0x10, Secret::Blob)]);
        assert_eq!(search(0x10, &secret[1..8]), []);
    }

    #[test]
    fn two_descriptor_numbers_count_as_an_address_only_outside_a_ring() {
        // Descriptors 126 and 127, and the places of the available and the used ring.
        let heads = 0x7f_007e_u64.to_le_bytes();
        let rings = [0x2_1000..0x2_1204, 0x2_2000..0x2_2804];
        for at in [0x2_1000, 0x2_1200, 0x2_2008] {
            assert_eq!(outside(search(at, &heads), &rings), []);
        }
        for at in [0x2_0ff8, 0x2_1208, 0x2_0010, 0x3_fff8] {
            let expected = Leak { at, secret: Secret::Address(0x7f_007e) };
            assert_eq!(outside(search(at, &heads), &rings), [expected]);
        }
        let canary = splitmix64(77).to_le_bytes();
        assert_eq!(outside(search(0x2_1000, &canary), &rings).len(), 1);
    }
}
