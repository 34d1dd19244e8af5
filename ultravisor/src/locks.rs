//! Finds where a kernel takes its locks: each successful compare-and-exchange from 0. The word is a lock if a name follows
//! it in memory (`crates/papr/src/lock.rs`).

use super::general::General;
use super::ram::GuestRam;
use std::io;

/// `stdcx.`, without its registers.
const STDCX: u32 = 0x7c00_01ad;
/// `cmpldi rX,0`, likewise.
const CMPLDI_0: u32 = 0x2820_0000;
/// `bne`, without its distance and its hint.
const BNE: u32 = 0x4082_0000;
const BNE_MASK: u32 = 0xff9f_0003;
/// `beq .+8`, without its hint: in a long function, it goes around a branch to where the lock is waited for.
const BEQ_OVER: u32 = 0x4182_0008;
const BEQ_OVER_MASK: u32 = 0xff9f_ffff;
/// Most instructions from the comparison to the store: registers may be reloaded there.
const MOST_BETWEEN: usize = 6;
/// Longest name.
const LONGEST: u64 = 64;

/// A store that takes a lock: its instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site(u32);

/// Finds the places in a little-endian image that begins at `base`: where each store has been done.
#[must_use]
pub(super) fn find(base: u64, image: &[u8]) -> Vec<(u64, Site)> {
    let words: Vec<u32> = image.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let takes = |at: usize| {
        words[at] & 0xfc00_07ff == STDCX
            && words.get(at + 1).is_some_and(|next| next & BNE_MASK == BNE)
            && (at.saturating_sub(MOST_BETWEEN)..at).any(|start| compares_with_0(&words[start..at]))
    };
    let sites = (0..words.len()).filter(|at| takes(*at));
    sites.map(|at| (base + 4 * (at as u64 + 2), Site(words[at]))).collect()
}

/// Whether these begin with a comparison that leads on only if the word was 0.
fn compares_with_0(words: &[u32]) -> bool {
    matches!(words, [compare, branch, ..] if compare & 0xffe0_ffff == CMPLDI_0
        && (branch & BNE_MASK == BNE || branch & BEQ_OVER_MASK == BEQ_OVER))
}

/// Whether the vCPU with these registers, which has just passed `site`, took the lock of this name there.
pub(super) fn taken(ram: &GuestRam, general: &General, site: Site, name: &str) -> io::Result<bool> {
    let register = |shift: u32| (site.0 >> shift & 31) as usize;
    let base = if register(16) == 0 { 0 } else { general.gpr(register(16)) };
    let at = base.wrapping_add(general.gpr(register(11)));
    let Some(bytes) = ram.read(at, 24)? else { return Ok(false) };
    let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let [holder, text, len] = words[..] else { return Ok(false) };
    if holder == 0 || holder != general.gpr(register(21)) || len > LONGEST || len != name.len() as u64 {
        return Ok(false);
    }
    Ok(ram.read(text, len)?.is_some_and(|text| text == name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_where_a_zero_was_replaced() {
        // ldarx r5,0,r3; cmpldi r5,0; bne- .+64; stdcx. r4,0,r3; bne- .-16; lwsync
        let code: [u32; 6] = [0x7ca0_18a8, 0x2825_0000, 0x40c2_0040, 0x7c80_19ad, 0x40c2_fff0, 0x7c20_04ac];
        let image: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(find(0x40_0000, &image), [(0x40_0014, Site(0x7c80_19ad))]);
        // ldarx r4,0,r3; cmpldi r4,0; beq+ .+8; b far; stdcx. r19,0,r3; bne- .-24
        let code: [u32; 6] = [0x7c80_18a8, 0x2824_0000, 0x41e2_0008, 0x4800_8b70, 0x7e60_19ad, 0x40c2_ffe8];
        let image: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(find(0x40_0000, &image), [(0x40_0018, Site(0x7e60_19ad))]);
        // ldarx r3,0,r3; cmpldi r3,0; bne- far; ld r3,496(r1); stdcx. r17,0,r3; bne- .-24
        let code: [u32; 6] = [0x7c60_18a8, 0x2823_0000, 0x40c2_1288, 0xe861_01f0, 0x7e20_19ad, 0x40c2_ffe8];
        let image: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(find(0, &image), [(0x18, Site(0x7e20_19ad))]);
        // An addition.
        let code: [u32; 4] = [0x7ca0_18a8, 0x7ca5_3214, 0x7ca0_19ad, 0x40c2_fff4];
        let image: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(find(0, &image), []);
    }
}
