//! The smallest secure guest, in either byte order: it makes UV_ESM and calls of a test's choice. Postern's kernel
//! makes no wrong calls, so tests of the observers need a guest that does.
//!
//! Source of the words: Power ISA 3.1, Book I (encodings); the change of byte order is that of Linux's `FIXUP_ENDIAN`.

/// Address at which QEMU loads it and a ROM enters it. Its file has address 0, like all kernels that QEMU relocates.
pub const BASE: u64 = 0x40_0000;
/// Offset of its argument block for RTAS, behind the code.
const BLOCK: u32 = 0x1000;
/// QEMU's token of `power-off` (`include/hw/ppc/spapr.h`).
const POWER_OFF: u32 = 0x2003;
/// Address of its stack: frames of two functions that are in its symbol table and have no code.
const STACK: u32 = BLOCK + 0x100;
const OUTER_FRAME: u32 = STACK + 0x40;
/// Those functions: name, offset in the image, size. Only the first has code.
const FUNCTIONS: [(&str, u32, u32); 3] =
    [("calls", 0, BLOCK), ("middle", 0x2000, 0x100), ("outer", 0x2100, 0x100)];
/// Return addresses in those functions, as offsets in the image.
const RETURNS: [u32; 2] = [0x2004, 0x2108];
/// The callers of the code, as an observer's back-trace shows them.
pub const CALLERS: [&str; 2] = ["middle+0x4", "outer+0x8"];
const H_RTAS: u32 = 0xf000;
const UV_ESM: u32 = 0xf110;

const SC_1: u32 = 0x4400_0022;
const SC_2: u32 = 0x4400_0042;
/// `or r5,r3,r3`: the tree's address.
const TREE_TO_R5: u32 = 0x7c65_1b78;
/// `mtlr r0`
const MTLR_R0: u32 = 0x7c08_03a6;
/// `cmpdi r4,0`: an ultravisor enters with the kernel's address there, a ROM with 0.
const IS_R4_ZERO: u32 = 0x2c24_0000;
/// `bne`, without the distance in bytes.
const BNE: u32 = 0x4082_0000;
/// `b .`
const STAY: u32 = 0x4800_0000;
/// Switches a CPU that is in the other byte order. A CPU in this byte order reads the first word as a no-op and the second
/// as a branch over the rest.
const SWITCH_BYTE_ORDER: [u32; 12] = [
    0x0800_0048,
    0x4800_002c,
    0xa600_607d,
    0x0100_6b69,
    0x0000_4039,
    0x6401_417d,
    0x0500_9f42,
    0xa602_487d,
    0x1400_4a39,
    0xa603_5a7d,
    0xa603_7b7d,
    0x2400_004c,
];

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It powers off.
    PowersOff,
    /// It branches to itself for ever.
    Stays,
}

/// `lis` and `ori`: a value below 2 GiB.
fn load(register: u32, value: u32) -> [u32; 2] {
    [
        0x3c00_0000 | register << 21 | value >> 16,
        0x6000_0000 | register << 21 | register << 16 | value & 0xffff,
    ]
}

fn code(little: bool, calls: &[Vec<u32>], last: Last) -> Vec<u32> {
    let mut end = Vec::new();
    if last == Last::PowersOff {
        let block = u32::try_from(BASE).unwrap_or(0) + BLOCK;
        end.extend([load(3, H_RTAS), load(4, block)].concat());
        end.push(SC_1);
    }
    end.push(STAY);
    let mut words = if little { SWITCH_BYTE_ORDER.to_vec() } else { Vec::new() };
    let ask = [load(4, BASE as u32).as_slice(), &[TREE_TO_R5], &load(3, UV_ESM), &[SC_2]].concat();
    let offset = 4 * (1 + ask.len() + end.len()) as u32;
    words.extend([IS_R4_ZERO, BNE | offset]);
    words.extend(ask);
    words.extend(&end);
    let base = u32::try_from(BASE).unwrap_or(0);
    words.extend([load(1, base + STACK), load(0, base + RETURNS[0])].concat());
    words.push(MTLR_R0);
    for call in calls {
        words.extend((3..).zip(call).flat_map(|(register, value)| load(register, *value)));
        let ultracall = call.first().is_some_and(|number| number >> 8 == UV_ESM >> 8);
        words.push(if ultracall { SC_2 } else { SC_1 });
    }
    words.extend(&end);
    words
}

/// Its ELF file. Each call, a hypercall or an ultracall by its number, is r3 and the following registers, each below 2 GiB.
#[must_use]
pub fn elf(little: bool, calls: &[Vec<u32>], last: Last) -> Vec<u8> {
    let word = |word: &u32| if little { word.to_le_bytes() } else { word.to_be_bytes() };
    let mut image: Vec<u8> = code(little, calls, last).iter().flat_map(word).collect();
    image.resize(BLOCK as usize, 0);
    // Token, two arguments, one result: big-endian in any guest.
    image.extend([POWER_OFF, 2, 1, 0, 0, 0].into_iter().flat_map(u32::to_be_bytes));
    // Frames: the next one's address, and 16 bytes into it where its owner returns to.
    image.resize(OUTER_FRAME as usize + 0x40, 0);
    for (at, value) in
        [(STACK, BASE + u64::from(OUTER_FRAME)), (OUTER_FRAME + 16, BASE + u64::from(RETURNS[1]))]
    {
        let bytes = if little { value.to_le_bytes() } else { value.to_be_bytes() };
        image[at as usize..at as usize + 8].copy_from_slice(&bytes);
    }
    let mut file = vec![0; 120];
    let order = |bytes: &mut [u8]| {
        if little {
            bytes.reverse();
        }
    };
    let mut put = |at: usize, size: usize, value: u64| {
        let bytes = &mut file[at..at + size];
        bytes.copy_from_slice(&value.to_be_bytes()[8 - size..]);
        order(bytes);
    };
    let size = image.len() as u64;
    // The file's header: a program for 64-bit POWER, one segment right behind.
    for (at, bytes, value) in [
        (16, 2, 2),
        (18, 2, 21),
        (20, 4, 1),
        (24, 8, 0),
        (32, 8, 64),
        (48, 4, 2),
        (52, 2, 64),
        (54, 2, 56),
        (56, 2, 1),
    ] {
        put(at, bytes, value);
    }
    // The segment: loaded, all rights, the bytes behind the headers.
    for (at, bytes, value) in [
        (64, 4, 1),
        (68, 4, 7),
        (72, 8, 120),
        (80, 8, 0),
        (88, 8, 0),
        (96, 8, size),
        (104, 8, size),
        (112, 8, 8),
    ] {
        put(at, bytes, value);
    }
    // Three sections behind it all: none, the symbols, their names.
    let symbols = 120 + size;
    let names = symbols + 24 * FUNCTIONS.len() as u64;
    let text: Vec<u8> = FUNCTIONS.iter().flat_map(|(name, ..)| [name.as_bytes(), &[0]].concat()).collect();
    let sections = names + text.len() as u64;
    for (at, bytes, value) in [(40, 8, sections), (58, 2, 64), (60, 2, 3)] {
        put(at, bytes, value);
    }
    let mut tables = vec![0; 24 * FUNCTIONS.len() + text.len() + 3 * 64];
    let mut put = |at: u64, size: usize, value: u64| {
        let at = (at - symbols) as usize;
        let bytes = &mut tables[at..at + size];
        bytes.copy_from_slice(&value.to_be_bytes()[8 - size..]);
        order(bytes);
    };
    let mut name = 0;
    for (symbol, (text, start, size)) in (symbols..).step_by(24).zip(FUNCTIONS) {
        for (at, bytes, value) in
            [(0, 4, name), (4, 1, 2), (6, 2, 1), (8, 8, start.into()), (16, 8, size.into())]
        {
            put(symbol + at, bytes, value);
        }
        name += text.len() as u64 + 1;
    }
    let (first, second) = (sections + 64, sections + 128);
    for (at, bytes, value) in [
        (first + 4, 4, 2),
        (first + 24, 8, symbols),
        (first + 32, 8, names - symbols),
        (first + 40, 4, 2),
        (second + 4, 4, 3),
        (second + 24, 8, names),
        (second + 32, 8, text.len() as u64),
    ] {
        put(at, bytes, value);
    }
    let at = (names - symbols) as usize;
    tables[at..at + text.len()].copy_from_slice(&text);
    file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, if little { 1 } else { 2 }, 1]);
    file.extend(image);
    file.extend(tables);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_ultravisor::image::KernelImage;
    use postern_ultravisor::symbols::Symbols;

    #[test]
    fn a_value_is_loaded_as_the_assembler_would() {
        // lis r4,64; ori r4,r4,4096
        assert_eq!(load(4, 0x40_1000), [0x3c80_0040, 0x6084_1000]);
    }

    #[test]
    fn either_file_is_a_kernel_of_one_segment() {
        for little in [false, true] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), elf(little, &[vec![0x44, 1]], Last::PowersOff)).unwrap();
            assert!(KernelImage::load(file.path()).is_ok(), "little-endian: {little}");
            let symbols = Symbols::load(file.path());
            assert_eq!(RETURNS.map(|at| symbols.name(BASE + u64::from(at), BASE)), CALLERS);
            assert_eq!(symbols.name(BASE + 8, BASE), "calls+0x8");
        }
    }
}
