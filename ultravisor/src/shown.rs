//! Checks frames that a guest shares for a moment to prove that they are its own. The host may see a public word at the
//! start of each, and nothing else.

use std::io;
use std::ops::Range;

use super::frames::{FRAME_SHIFT, FRAME_SIZE};
use super::ram::GuestRam;

/// The public word of a frame.
#[must_use]
pub fn word(gfn: u64) -> [u8; 16] {
    let mut word = *b"postern!........";
    word[8..].copy_from_slice(&gfn.to_le_bytes());
    word
}

/// The first address in these frames that holds more than zeros and the public word.
///
/// # Errors
/// Guest RAM cannot be read.
pub(super) fn data(ram: &GuestRam, frames: &Range<u64>) -> io::Result<Option<u64>> {
    const ZEROS: [u8; 4096] = [0; 4096];
    for (start, bytes) in ram.written(frames.start << FRAME_SHIFT..frames.end << FRAME_SHIFT)? {
        // Compared by blocks, because nearly all blocks are zeros.
        for (at, block) in (start..).step_by(ZEROS.len()).zip(bytes.chunks(ZEROS.len())) {
            if ZEROS.get(..block.len()) == Some(block) {
                continue;
            }
            let mut expected = ZEROS;
            if at % FRAME_SIZE == 0 {
                expected[..16].copy_from_slice(&word(at >> FRAME_SHIFT));
            }
            if expected.get(..block.len()) != Some(block) {
                let wrong = block.iter().zip(expected).position(|(byte, right)| *byte != 0 && *byte != right);
                return Ok(wrong.map(|offset| at + offset as u64).or(Some(at)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::scratch::ScratchRam;
    use super::*;

    #[test]
    fn the_public_word_is_no_data_and_everything_else_is() {
        let ram = ScratchRam::new(8 * FRAME_SIZE);
        for gfn in 2..5 {
            ram.write(gfn << FRAME_SHIFT, &word(gfn)).expect("write");
        }
        assert_eq!(data(&ram, &(1..6)).expect("read"), None);
        for at in [2 * FRAME_SIZE + 16, 3 * FRAME_SIZE - 1, 4 * FRAME_SIZE + 8] {
            let before = ram.read(at, 1).expect("read").expect("RAM");
            ram.write(at, &[0x77]).expect("write");
            assert_eq!(data(&ram, &(1..6)).expect("read"), Some(at));
            ram.write(at, &before).expect("write");
        }
        // The word of another frame.
        ram.write(5 << FRAME_SHIFT, &word(4)).expect("write");
        assert_eq!(data(&ram, &(1..6)).expect("read"), Some(5 * FRAME_SIZE + 8));
    }
}
