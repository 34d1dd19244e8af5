//! Checks that a blob is a well-formed flattened tree: one pass, no allocation, no recursion, no panic.
//!
//! Source: Devicetree Specification 0.4, chapter 5. Stricter than it in three ways: FDT_NOP is refused (the
//! `fdt` crate panics on it, and neither QEMU, nor our own flattening, nor an ultravisor that packs the tree
//! writes one), depth is bounded, and names are UTF-8. Laxer in one: property names may be longer than 31
//! bytes, as those of every pseries tree are (`ibm,query-interrupt-source-number`).

use super::error::{Block, FdtError};

use alloc::vec::Vec;

/// First word of a flattened tree.
pub const MAGIC: u32 = 0xd00d_feed;
/// Bytes of the header of version 17.
pub const HEADER_LEN: usize = HEADER_BYTES as usize;
const HEADER_BYTES: u32 = 40;
/// The version that is read; the header of a newer tree says whether this version may read it.
pub const VERSION: u32 = 17;
/// Most bytes of a tree, as many as QEMU's (`FDT_MAX_SIZE`).
pub const MAX_SIZE: usize = 2 << 20;
/// Deepest node; the root is at depth 1.
pub const MAX_DEPTH: u32 = 32;
/// Most nodes that a tree may have.
pub const MAX_NODES: u32 = 8192;
/// Most properties of all nodes together.
pub const MAX_PROPERTIES: u32 = 1 << 17;
/// Longest name of a node or a property.
pub const MAX_NAME: usize = 255;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// A blob that was found to be a well-formed tree.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    pub(super) fdt: fdt::Fdt<'a>,
    /// The reservation block's entries.
    reserved: &'a [u8],
    boot_cpu: u32,
    size: usize,
}

impl<'a> Tree<'a> {
    /// Checks all of `blob`, up to the `totalsize` in its header.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(blob: &'a [u8]) -> Result<Self, FdtError> {
        let header = Header::read(blob)?;
        let size = header.total;
        let blob = blob.get(..size).ok_or(FdtError::Truncated { have: blob.len(), need: size })?;
        let rsvmap = reservations(blob, header.rsvmap)?;
        let blocks = [
            Extent { block: Block::Header, at: 0, len: HEADER_BYTES },
            rsvmap,
            header.structure,
            header.strings,
        ];
        for (index, one) in blocks.iter().enumerate() {
            for other in blocks.iter().skip(index.saturating_add(1)) {
                if one.overlaps(other) {
                    return Err(FdtError::Overlap(one.block, other.block));
                }
            }
        }
        Walk::new(blob, &header)?.run()?;
        let fdt = fdt::Fdt::new(blob).map_err(|_| FdtError::Truncated { have: blob.len(), need: size })?;
        let reserved = blob.get(rsvmap.at as usize..rsvmap.end()).unwrap_or_default();
        Ok(Self { fdt, reserved, boot_cpu: header.boot_cpu, size })
    }

    /// Start and length of each entry of the reservation block. The crate `fdt` returns them as pointers and `usize`,
    /// which truncate an entry on a 32-bit machine.
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + 'a {
        let entries = self.reserved.chunks_exact(16);
        let entry = |entry: &[u8]| {
            let (start, len) = entry.split_first_chunk()?;
            Some((u64::from_be_bytes(*start), u64::from_be_bytes(*len.first_chunk()?)))
        };
        // The last entry is the terminator.
        entries.map_while(entry).take_while(|entry| *entry != (0, 0))
    }

    /// `boot_cpuid_phys` of the header.
    #[must_use]
    pub const fn boot_cpu(&self) -> u32 {
        self.boot_cpu
    }

    /// `totalsize` of the header.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }
}

/// `totalsize` of a tree, in bytes, from its first [`HEADER_LEN`] bytes: the length to copy before [`Tree::check`].
///
/// # Errors
/// The header is not one of a tree that can be read.
pub fn claimed_size(header: &[u8]) -> Result<usize, FdtError> {
    let header = Header::read(header)?;
    Ok(header.total)
}

/// A private copy of the tree, without the free space at the end of an unpacked tree (QEMU's has 2 MiB in all).
/// `totalsize` of the copy is its own length.
///
/// # Errors
/// The header is not one of a tree that can be read, or there are fewer bytes than it says.
pub fn private_copy(blob: &[u8]) -> Result<Vec<u8>, FdtError> {
    let total = claimed_size(blob)?;
    let there = blob.get(..total).ok_or(FdtError::Truncated { have: blob.len(), need: total })?;
    copy_from(|at, out| {
        for (byte, from) in out.iter_mut().zip(there.iter().skip(at)) {
            *byte = *from;
        }
    })
}

/// As [`private_copy`], through `read`, which copies bytes at an offset. The source may change meanwhile: the copy has
/// the header that was validated, and so at most [`MAX_SIZE`] bytes.
///
/// # Errors
/// The header is not one of a tree that can be read, or its reservations have no end.
pub fn copy_from(mut read: impl FnMut(usize, &mut [u8])) -> Result<Vec<u8>, FdtError> {
    let mut first = [0; HEADER_LEN];
    read(0, &mut first);
    let header = Header::read(&first)?;
    let mut used = header.structure.end().max(header.strings.end()).max(HEADER_LEN);
    let mut at = Extent { block: Block::Reservations, at: header.rsvmap, len: 16 }.aligned(8)?.at as usize;
    loop {
        let end = at.saturating_add(16);
        if end > header.total {
            return Err(FdtError::ReservationsUnterminated);
        }
        let mut entry = [0; 16];
        read(at, &mut entry);
        at = end;
        if entry == [0; 16] {
            break;
        }
    }
    used = used.max(at);
    let mut copy = alloc::vec![0; used];
    read(0, &mut copy);
    let total = u32::try_from(used).unwrap_or(u32::MAX).to_be_bytes();
    let [magic, _, rest @ ..] = first.as_chunks::<4>().0 else { return Ok(copy) };
    let judged = magic.iter().chain(&total).chain(rest.as_flattened());
    for (byte, judged) in copy.iter_mut().zip(judged) {
        *byte = *judged;
    }
    Ok(copy)
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    block: Block,
    at: u32,
    len: u32,
}

impl Extent {
    fn end(&self) -> usize {
        (self.at as usize).saturating_add(self.len as usize)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.len > 0 && other.len > 0 && (self.at as usize) < other.end() && (other.at as usize) < self.end()
    }

    fn inside(self, total: usize) -> Result<Self, FdtError> {
        if self.end() > total {
            return Err(FdtError::Outside { block: self.block, at: self.at, len: self.len });
        }
        Ok(self)
    }

    fn aligned(self, to: u32) -> Result<Self, FdtError> {
        if !self.at.is_multiple_of(to) {
            return Err(FdtError::Misaligned { block: self.block, at: self.at });
        }
        Ok(self)
    }
}

struct Header {
    total: usize,
    rsvmap: u32,
    structure: Extent,
    strings: Extent,
    boot_cpu: u32,
}

impl Header {
    fn read(blob: &[u8]) -> Result<Self, FdtError> {
        let truncated = FdtError::Truncated { have: blob.len(), need: HEADER_LEN };
        let word = |index: usize| word_at(blob, index.saturating_mul(4)).ok_or(truncated);
        if word(0)? != MAGIC {
            return Err(FdtError::Magic(word(0)?));
        }
        let (size, version, compatible) = (word(1)?, word(5)?, word(6)?);
        if version < VERSION || compatible > VERSION {
            return Err(FdtError::Version { version, compatible });
        }
        let total = usize::try_from(size).unwrap_or(usize::MAX);
        if !(HEADER_LEN..=MAX_SIZE).contains(&total) {
            return Err(FdtError::TotalSize(size));
        }
        let structure = Extent { block: Block::Structure, at: word(2)?, len: word(9)? };
        let strings = Extent { block: Block::Strings, at: word(3)?, len: word(8)? };
        Ok(Self {
            total,
            rsvmap: word(4)?,
            structure: structure.aligned(4)?.inside(total)?,
            strings: strings.inside(total)?,
            boot_cpu: word(7)?,
        })
    }
}

/// The extent of the reservation block, whose end is a terminating entry.
fn reservations(blob: &[u8], at: u32) -> Result<Extent, FdtError> {
    let block = Block::Reservations;
    Extent { block, at, len: 0 }.aligned(8)?.inside(blob.len())?;
    let entries = blob.get(at as usize..).unwrap_or_default().chunks_exact(16);
    let before = entries.take_while(|entry| entry.iter().any(|byte| *byte != 0)).count();
    let len = before.saturating_add(1).saturating_mul(16);
    let extent = Extent { block, at, len: u32::try_from(len).unwrap_or(u32::MAX) };
    if extent.end() > blob.len() {
        return Err(FdtError::ReservationsUnterminated);
    }
    Ok(extent)
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The length of the string that starts `bytes`, without its NUL.
fn name_len(bytes: &[u8]) -> Option<usize> {
    let len = bytes.iter().take(MAX_NAME.saturating_add(1)).position(|&byte| byte == 0)?;
    core::str::from_utf8(bytes.get(..len)?).ok()?;
    Some(len)
}

/// The pass over the structure block.
struct Walk<'a> {
    /// The structure block, from the start of the blob, so that offsets are those of the blob.
    tokens: &'a [u8],
    strings: &'a [u8],
    at: usize,
    depth: u32,
    /// Bit n: the open node at depth n has had a child.
    has_child: u64,
    nodes: u32,
    properties: u32,
}

impl<'a> Walk<'a> {
    fn new(blob: &'a [u8], header: &Header) -> Result<Self, FdtError> {
        let (structure, strings) = (header.structure, header.strings);
        let outside = |of: Extent| FdtError::Outside { block: of.block, at: of.at, len: of.len };
        Ok(Self {
            tokens: blob.get(..structure.end()).ok_or(outside(structure))?,
            strings: blob.get(strings.at as usize..strings.end()).ok_or(outside(strings))?,
            at: structure.at as usize,
            depth: 0,
            has_child: 0,
            nodes: 0,
            properties: 0,
        })
    }

    fn run(&mut self) -> Result<(), FdtError> {
        loop {
            let at = self.at;
            let word = self.word()?;
            match word {
                BEGIN_NODE if self.depth > 0 || self.nodes == 0 => self.begin_node(at)?,
                END_NODE if self.depth > 0 => self.depth = self.depth.saturating_sub(1),
                PROP if self.depth > 0 => self.property(at)?,
                NOP => return Err(FdtError::Nop { at }),
                END if self.depth == 0 && self.nodes > 0 => return Ok(()),
                _ => return Err(FdtError::Token { at, word }),
            }
        }
    }

    fn word(&mut self) -> Result<u32, FdtError> {
        let word = word_at(self.tokens, self.at).ok_or(FdtError::StructureEnds { at: self.at })?;
        self.at = self.at.saturating_add(4);
        Ok(word)
    }

    /// Steps over `len` bytes and the padding that follows them.
    fn skip(&mut self, len: usize) -> Option<()> {
        let next = self.at.checked_add(len)?.checked_next_multiple_of(4)?;
        (next <= self.tokens.len()).then(|| self.at = next)
    }

    fn begin_node(&mut self, at: usize) -> Result<(), FdtError> {
        let bytes = self.tokens.get(self.at..).unwrap_or_default();
        let len = name_len(bytes).ok_or(FdtError::Name { at })?;
        let is_root = self.depth == 0;
        if is_root != (len == 0) || bytes.iter().take(len).any(|&byte| byte == b'/') {
            return Err(FdtError::Name { at });
        }
        self.skip(len.saturating_add(1)).ok_or(FdtError::StructureEnds { at })?;
        self.has_child |= 1_u64.wrapping_shl(self.depth);
        self.depth = self.depth.saturating_add(1);
        self.has_child &= !1_u64.wrapping_shl(self.depth);
        self.nodes = self.nodes.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(FdtError::TooDeep { at });
        }
        if self.nodes > MAX_NODES {
            return Err(FdtError::TooMany { at });
        }
        Ok(())
    }

    fn property(&mut self, at: usize) -> Result<(), FdtError> {
        if self.has_child & 1_u64.wrapping_shl(self.depth) != 0 {
            return Err(FdtError::PropertyAfterChild { at });
        }
        let (len, offset) = (self.word()?, self.word()?);
        self.skip(len as usize).ok_or(FdtError::PropertyLength { at, len })?;
        let name = self.strings.get(offset as usize..).ok_or(FdtError::NameOffset { at, offset })?;
        let name = match name_len(name) {
            Some(0) | None => return Err(FdtError::Name { at }),
            Some(chars) => name.get(..chars).unwrap_or_default(),
        };
        if matches!(name, b"#address-cells" | b"#size-cells") && len != 4 {
            return Err(FdtError::Cells { at, len });
        }
        self.properties = self.properties.saturating_add(1);
        if self.properties > MAX_PROPERTIES {
            return Err(FdtError::TooMany { at });
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "a test may fail by panicking")]
mod tests;
