//! Data and code that a hostile host leaves in unmeasured memory, for a guest that reads or runs it.

use std::io;
use std::ops::Range;

use super::condition::Poison;
use super::esm::EsmReport;
use super::frames::{FRAME_SIZE, FrameState, ShareMap};
use super::ram::GuestRam;

/// What the host's code prints on the console.
pub const MARKER: &str = "HOST CODE RAN";
/// As H_PUT_TERM_CHAR takes it.
const LINE: &[u8; 15] = b"\nHOST CODE RAN\n";

const FRAME: usize = FRAME_SIZE as usize;
/// Where in each frame the code for a little-endian CPU is, for a big-endian one, and RTAS's arguments.
const LITTLE: usize = 0xfe00;
const BIG: usize = 0xfe80;
const BLOCK: usize = 0xff00;

/// An address in the first frame at which host code begins, for registers to hold.
pub const ENTRY: u64 = LITTLE as u64;

/// A frame full of branches to code that prints [`MARKER`] and powers the machine off, by this RTAS token. It does
/// the same at each 16 bytes, wherever the frame lies, and in both byte orders: the bytes 48 00 00 08 are a branch over
/// one instruction to a big-endian CPU and a trap that never happens (`tdi 0,r0,72`) to a little-endian one.
#[must_use]
pub fn code(power_off: u32) -> Vec<u8> {
    let mut frame = vec![0; FRAME];
    let branch = |from: usize, to: usize| 0x4800_0000 | (to.wrapping_sub(from) as u32 & 0x03ff_fffc);
    for at in (0..LITTLE).step_by(16) {
        put(&mut frame, at, 0x4800_0008_u32.to_be_bytes());
        put(&mut frame, at + 4, branch(at + 4, LITTLE).to_le_bytes());
        put(&mut frame, at + 8, branch(at + 8, BIG).to_be_bytes());
        put(&mut frame, at + 12, branch(at + 12, LITTLE).to_le_bytes());
    }
    for (index, word) in payload(LITTLE).into_iter().enumerate() {
        put(&mut frame, LITTLE + 4 * index, word.to_le_bytes());
    }
    for (index, word) in payload(BIG).into_iter().enumerate() {
        put(&mut frame, BIG + 4 * index, word.to_be_bytes());
    }
    for (index, word) in [power_off, 2, 1, u32::MAX, u32::MAX, 0].into_iter().enumerate() {
        put(&mut frame, BLOCK + 4 * index, word.to_be_bytes());
    }
    frame
}

fn put(frame: &mut [u8], at: usize, bytes: [u8; 4]) {
    if let Some(place) = frame.get_mut(at..at + 4) {
        place.copy_from_slice(&bytes);
    }
}

/// H_PUT_TERM_CHAR of the line to QEMU's first terminal, H_RTAS of the block in the same frame, and a loop.
fn payload(at: usize) -> Vec<u32> {
    const SC_1: u32 = 0x4400_0022;
    let load = |register: u32, bytes: &[u8]| {
        let word =
            |at: usize| bytes.get(at..at + 2).map_or(0, |pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let (target, same) = (register << 21, register << 21 | register << 16);
        [
            0x3c00_0000 | target | word(0), // lis
            0x6000_0000 | same | word(2),   // ori
            0x7800_07c6 | same,             // sldi 32
            0x6400_0000 | same | word(4),   // oris
            0x6000_0000 | same | word(6),   // ori
        ]
    };
    let mut padded = [0; 16];
    padded[..LINE.len()].copy_from_slice(LINE);
    // li r3,H_PUT_TERM_CHAR; lis r4,0x7100; li r5,length
    let mut words = vec![0x3860_0058, 0x3c80_7100, 0x38a0_0000 | LINE.len() as u32];
    words.extend(load(6, &padded[..8]));
    words.extend(load(7, &padded[8..]));
    words.push(SC_1);
    // bcl 20,31,.+4; mflr r4
    words.extend([0x429f_0005, 0x7c88_02a6]);
    let here = at + 4 * (words.len() - 1);
    // addi r4,r4,to the block; lis r3,0; ori r3,r3,H_RTAS; sc 1; b .
    words.extend([0x3884_0000 | (BLOCK - here) as u32, 0x3c60_0000, 0x6063_f000, SC_1, 0x4800_0000]);
    words
}

/// Fills the unmeasured memory that a guest finds after UV_ESM: low memory, the rest of the frames that were brought in
/// for kernel, tree and initrd, and after a development build's UV_ESM all other memory.
pub(super) fn spread(
    ram: &GuestRam,
    map: &ShareMap,
    poison: Poison,
    report: &EsmReport,
    power_off: u32,
) -> io::Result<()> {
    let frame = match poison {
        Poison::Byte(byte) => vec![byte; FRAME],
        Poison::HostCode => code(power_off),
    };
    let low = 0..1;
    for gfn in report.kept.iter().cloned().chain([low]).flatten() {
        if map.state(gfn).is_none_or(|state| state.is_ultravisors() || state == FrameState::Outside) {
            continue;
        }
        let start = gfn * FRAME_SIZE;
        for part in without(start..start + FRAME_SIZE, &report.needed) {
            let bytes = frame.get((part.start - start) as usize..(part.end - start) as usize);
            ram.write(part.start, bytes.unwrap_or_default())?;
        }
    }
    Ok(())
}

/// The parts of a range outside others.
fn without(range: Range<u64>, others: &[Range<u64>]) -> Vec<Range<u64>> {
    others.iter().fold(vec![range], |left, other| {
        let cut =
            |part: Range<u64>| [part.start..part.end.min(other.start), part.start.max(other.end)..part.end];
        left.into_iter().flat_map(cut).filter(|part| !part.is_empty()).collect()
    })
}

/// Fills the empty frames. The first empty frame after one with content stays empty: a loaded file may end there with
/// zeros.
pub(super) fn fill(ram: &GuestRam, byte: u8) -> io::Result<()> {
    let (empty, full) = (vec![0; FRAME], vec![byte; FRAME]);
    let mut after_content = false;
    for gfn in 0..ram.size() / FRAME_SIZE {
        let found = ram.read(gfn * FRAME_SIZE, FRAME_SIZE)?;
        let holds_nothing = found.as_ref() == Some(&empty);
        if holds_nothing && !after_content {
            ram.write(gfn * FRAME_SIZE, &full)?;
        }
        after_content = !holds_nothing;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "ranges are compared with lists of ranges")]
mod tests {
    use super::super::scratch::ScratchRam;
    use super::*;

    #[test]
    fn ranges_are_cut_out() {
        assert_eq!(without(0..10, &[]), [0..10]);
        assert_eq!(without(0..10, &[2..4, 8..20]), [0..2, 4..8]);
        assert_eq!(without(0..10, &[0..3, 2..10]), []);
        assert_eq!(without(5..10, &[0..5, 10..20]), [5..10]);
    }

    #[test]
    fn only_memory_that_holds_nothing_is_filled() {
        let ram = ScratchRam::new(4 * FRAME_SIZE);
        ram.write(FRAME_SIZE + 7, b"x").expect("write");
        fill(&ram, 0x5a).expect("fill");
        let bytes = ram.read(0, 4 * FRAME_SIZE).expect("read").expect("RAM");
        assert_eq!(bytes.iter().filter(|byte| **byte == 0x5a).count() as u64, 2 * FRAME_SIZE);
        assert_eq!(bytes[FRAME + 7], b'x');
        assert!(bytes[2 * FRAME..3 * FRAME].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn every_slot_branches_to_the_code_in_both_byte_orders() {
        let frame = code(0x1234);
        let word = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).expect("word");
        let target = |at: usize, word: u32| {
            assert_eq!(word & 0xfc00_0003, 0x4800_0000, "a relative branch");
            let offset = (word & 0x03ff_fffc).cast_signed() << 6 >> 6;
            (at as i64 + i64::from(offset)) as usize
        };
        for slot in (0..0x2000).step_by(32) {
            assert_eq!(target(slot, u32::from_be_bytes(word(slot))), slot + 8);
            assert_eq!(u32::from_le_bytes(word(slot)), 0x0800_0048, "tdi 0,r0,72");
            assert_eq!(target(slot + 4, u32::from_le_bytes(word(slot + 4))), LITTLE);
            assert_eq!(target(slot + 8, u32::from_be_bytes(word(slot + 8))), BIG);
        }
        assert_eq!(word(BLOCK), [0, 0, 0x12, 0x34]);
    }
}
