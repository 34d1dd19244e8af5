//! Facts: what a run tells a script, in lines `postern: key=value`.
//!
//! This is the one list of keys. The code that states a fact names its row; docs/guest-contract.md and docs/help.txt
//! have lists that `make lists` generates from it; the boot tests compare each line that a guest prints with it.
//!
//! ```
//! use postern_core::facts::{disk, pool};
//! assert_eq!(pool::FRAMES.line(128).to_string(), "postern: pool.frames=128");
//! assert_eq!(disk::CPU_QUEUE.at([0, 3]).line(1).to_string(), "postern: blk0.cpu.3.queue=1");
//! ```

pub mod bench;
pub mod boot;
pub mod card;
pub mod crash;
pub mod disk;
pub mod end;
mod key;
pub mod pool;
mod row;
pub mod soak;
mod value;
pub mod window;

pub use key::{Key, Name};
use row::facts;
pub use row::{Fact, Stated};
pub use value::Value;

/// Every row, in the order of the documents.
pub fn all() -> impl Iterator<Item = &'static Fact> {
    let parts = [
        boot::FACTS,
        pool::FACTS,
        window::FACTS,
        disk::FACTS,
        card::FACTS,
        end::FACTS,
        bench::FACTS,
        soak::FACTS,
        crash::FACTS,
    ];
    parts.into_iter().flatten()
}

/// The row of a key as a guest prints it, with numbers.
#[must_use]
pub fn find(key: &str) -> Option<&'static Fact> {
    all().find(|fact| key::matches(fact.key, key))
}

#[cfg(test)]
mod tests {
    use super::{all, find};
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_in_one_row() {
        let keys: BTreeSet<&str> = all().map(|fact| fact.key).collect();
        assert_eq!(keys.len(), all().count());
        for fact in all() {
            let key = fact.key.replace('N', "17");
            assert_eq!(find(&key).map(|found| found.key), Some(fact.key), "{key}");
        }
    }

    #[test]
    fn a_key_that_is_in_no_row_is_not_found() {
        for key in
            ["", "mod", "mode.", "blk.id", "blkx.id", "blk0.idx", "blk0.cpu.1", "tce-1.kind", "map.0x1"]
        {
            assert!(find(key).is_none(), "{key}");
        }
    }

    #[test]
    fn every_row_has_a_text_of_one_line() {
        for fact in all() {
            assert!(fact.meaning.len() > 8 && !fact.meaning.contains(['|', '\n']), "{}", fact.key);
        }
    }
}
