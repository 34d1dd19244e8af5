//! Whether memory may be cleared by cache block (`dcbz`): only if a block has the size for which the loops were
//! written.

use thiserror::Error;

/// Bytes of a data cache block of POWER8, 9 and 10.
pub const BLOCK: usize = 128;

/// Why memory is cleared word by word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unusual {
    /// The tree does not state the size of a block.
    #[error("the tree does not say how long a data cache block is")]
    Unsaid,
    /// The tree states this size in bytes.
    #[error("the tree says that a data cache block has {0} bytes")]
    Said(u32),
    /// One `dcbz` cleared this many bytes.
    #[error("dcbz clears {0} bytes")]
    Cleared(usize),
}

/// Checks the tree (`d-cache-block-size` of the boot processor) and the effect of one `dcbz`. The host chooses the
/// tree, and a larger block would clear neighbouring memory.
///
/// # Errors
/// Why memory must be cleared word by word.
pub fn clears_by_blocks(said: Option<u32>, cleared: usize) -> Result<(), Unusual> {
    match (said, cleared) {
        (_, cleared) if cleared != BLOCK => Err(Unusual::Cleared(cleared)),
        (None, _) => Err(Unusual::Unsaid),
        (Some(said), _) if said as usize != BLOCK => Err(Unusual::Said(said)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_128_bytes_that_tree_and_processor_agree_on_are_cleared_whole() {
        assert_eq!(clears_by_blocks(Some(128), 128), Ok(()));
    }

    #[test]
    fn any_other_size_is_cleared_word_by_word() {
        assert_eq!(clears_by_blocks(Some(64), 64), Err(Unusual::Cleared(64)));
        assert_eq!(clears_by_blocks(Some(64), 128), Err(Unusual::Said(64)));
        assert_eq!(clears_by_blocks(None, 128), Err(Unusual::Unsaid));
    }

    #[test]
    fn a_size_that_only_the_tree_states_is_not_used() {
        for cleared in [0, 32, 256] {
            assert_eq!(clears_by_blocks(Some(128), cleared), Err(Unusual::Cleared(cleared)));
        }
    }
}
