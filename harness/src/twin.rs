//! Copies of the kernel's file with some instructions replaced, with which tests show that their checks can fail.

use std::io;
use std::path::Path;

/// `nop`.
const NOP: u32 = 0x6000_0000;
/// `sc 1`.
const HCALL: u32 = 0x4400_0022;
/// `mtdec` of any register, and the mask of the bits to compare.
const SET_DECREMENTER: u32 = 0x7c16_03a6;
const NOT_THE_SOURCE: u32 = 0xfc1f_ffff;
/// Most instructions from `mtdec` to its H_CEDE.
const NEAR: usize = 4;

/// Writes a copy of `kernel` to `twin` that never sleeps: the `sc 1` after each `mtdec` is a `nop`.
///
/// # Errors
/// A file cannot be read or written, or nothing in it looks like H_CEDE.
pub fn without_cede(kernel: &Path, twin: &Path) -> io::Result<()> {
    patched(kernel, twin, |code| {
        let (first, rest) = code.split_first()?;
        let near = rest.get(..NEAR)?;
        if first & NOT_THE_SOURCE != SET_DECREMENTER {
            return None;
        }
        near.iter().position(|word| *word == HCALL).map(|place| (place + 1, NOP))
    })
}

/// Writes a copy of `kernel` to `twin`. `change` gets the file's words from each position on; it returns the distance of a
/// word to be replaced, and the new word.
fn patched(kernel: &Path, twin: &Path, change: impl Fn(&[u32]) -> Option<(usize, u32)>) -> io::Result<()> {
    let mut bytes = std::fs::read(kernel)?;
    let (words, _) = bytes.as_chunks();
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let changes: Vec<_> = (0..words.len())
        .filter_map(|at| change(&words[at..]).map(|(distance, word)| (at + distance, word)))
        .collect();
    if changes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no instruction to replace"));
    }
    let (places, _) = bytes.as_chunks_mut();
    for (at, word) in changes {
        if let Some(place) = places.get_mut(at) {
            *place = word.to_le_bytes();
        }
    }
    std::fs::write(twin, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin_of(code: &[u32]) -> io::Result<Vec<u32>> {
        let dir = tempfile::tempdir()?;
        let (kernel, twin) = (dir.path().join("k"), dir.path().join("t"));
        std::fs::write(&kernel, code.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())?;
        without_cede(&kernel, &twin)?;
        let bytes = std::fs::read(twin)?;
        Ok(bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    #[test]
    fn only_the_hcall_that_goes_with_the_decrementer_is_replaced() {
        let decrementer = SET_DECREMENTER | 5 << 21;
        let code = [HCALL, decrementer, NOP | 1, NOP | 1, HCALL, HCALL];
        assert_eq!(twin_of(&code).unwrap(), [HCALL, decrementer, NOP | 1, NOP | 1, NOP, HCALL]);
    }

    #[test]
    fn a_file_without_h_cede_is_an_error() {
        assert_eq!(twin_of(&[HCALL; 8]).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
