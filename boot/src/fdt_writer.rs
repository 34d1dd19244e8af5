//! Writes a flattened device tree front to back into a buffer, without a heap.
//!
//! The blocks come in the order of the Devicetree Specification 0.4, chapter 5: header, reservations, structure,
//! strings. Names are collected beside the buffer and appended at the end. The header is written last, so that an
//! unfinished tree has no magic number.

use thiserror::Error;

/// Magic number of a flattened tree, `0xd00dfeed`.
pub const MAGIC: u32 = 0xd00d_feed;
/// Bytes of the header, version 17.
pub const HEADER_SIZE: usize = 40;
/// The version that is written, and the oldest version that it is compatible with.
pub const VERSION: (u32, u32) = (17, 16);
/// FDT_BEGIN_NODE
pub const BEGIN_NODE: u32 = 1;
/// FDT_END_NODE
pub const END_NODE: u32 = 2;
/// FDT_PROP
pub const PROP: u32 = 3;
/// FDT_NOP
pub const NOP: u32 = 4;
/// FDT_END
pub const END: u32 = 9;

/// Why a tree could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The buffer has this many bytes, too few for the structure.
    #[error("device tree does not fit into {0} bytes")]
    TreeFull(usize),
    /// There is room for this many bytes of property names, too few.
    #[error("property names do not fit into {0} bytes")]
    NamesFull(usize),
    /// A name or value of this many bytes is not representable.
    #[error("a device tree value of {0} bytes")]
    TooLong(usize),
    /// A node name or property name with a NUL inside.
    #[error("a device tree name with NUL inside")]
    NulInName,
    /// Nodes ended that were not begun, or the other way round.
    #[error("device tree nodes do not nest")]
    Unbalanced,
}

/// Writes a flattened tree into a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    tree: &'a mut [u8],
    /// Property names seen so far, each ending in NUL.
    names: &'a mut [u8],
    names_len: usize,
    structure_at: usize,
    /// Offset of the next token.
    at: usize,
    depth: usize,
}

impl<'a> Writer<'a> {
    /// Begins a tree in `tree` with these reservations (start, bytes). `names` is scratch for property names.
    ///
    /// # Errors
    /// The buffer is too small.
    pub fn new(
        tree: &'a mut [u8],
        names: &'a mut [u8],
        reservations: &[(u64, u64)],
    ) -> Result<Self, WriteError> {
        let mut writer = Self { tree, names, names_len: 0, structure_at: 0, at: HEADER_SIZE, depth: 0 };
        writer.put(0, &[0; HEADER_SIZE])?;
        for (start, len) in reservations.iter().chain(&[(0, 0)]) {
            writer.append(&start.to_be_bytes())?;
            writer.append(&len.to_be_bytes())?;
        }
        writer.structure_at = writer.at;
        Ok(writer)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), WriteError> {
        let full = WriteError::TreeFull(self.tree.len());
        let end = at.checked_add(bytes.len()).ok_or(full)?;
        self.tree.get_mut(at..end).ok_or(full)?.copy_from_slice(bytes);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.put(self.at, bytes)?;
        self.at = self.at.saturating_add(bytes.len());
        Ok(())
    }

    /// Pads to the next token with zeros.
    fn pad(&mut self) -> Result<(), WriteError> {
        let missing = self.at.wrapping_neg() & 3;
        self.append([0; 3].get(..missing).unwrap_or_default())
    }

    /// Begins a node; the root's name is empty.
    ///
    /// # Errors
    /// The buffer is full, or the name has a NUL.
    pub fn begin_node(&mut self, name: &[u8]) -> Result<(), WriteError> {
        if name.contains(&0) {
            return Err(WriteError::NulInName);
        }
        self.depth = self.depth.saturating_add(1);
        self.append(&BEGIN_NODE.to_be_bytes())?;
        self.append(name)?;
        self.append(&[0])?;
        self.pad()
    }

    /// Ends the node begun last.
    ///
    /// # Errors
    /// The buffer is full, or no node is open.
    pub fn end_node(&mut self) -> Result<(), WriteError> {
        self.depth = self.depth.checked_sub(1).ok_or(WriteError::Unbalanced)?;
        self.append(&END_NODE.to_be_bytes())
    }

    /// Adds a property to the open node.
    ///
    /// # Errors
    /// The buffer or the names are full, or the name has a NUL.
    pub fn property(&mut self, name: &[u8], value: &[u8]) -> Result<(), WriteError> {
        self.property_of(name, value.len(), |into| into.copy_from_slice(value))
    }

    /// Adds a property of `len` bytes to the open node; `fill` writes the value in place.
    ///
    /// # Errors
    /// As for [`Self::property`].
    pub fn property_of(
        &mut self,
        name: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), WriteError> {
        if self.depth == 0 {
            return Err(WriteError::Unbalanced);
        }
        let name = self.intern(name)?;
        let len32 = u32::try_from(len).map_err(|_| WriteError::TooLong(len))?;
        self.append(&PROP.to_be_bytes())?;
        self.append(&len32.to_be_bytes())?;
        self.append(&name.to_be_bytes())?;
        let full = WriteError::TreeFull(self.tree.len());
        let end = self.at.checked_add(len).ok_or(full)?;
        fill(self.tree.get_mut(self.at..end).ok_or(full)?);
        self.at = end;
        self.pad()
    }

    /// The offset of a property name in the strings block. Adds the name if it is new.
    fn intern(&mut self, name: &[u8]) -> Result<u32, WriteError> {
        if name.contains(&0) {
            return Err(WriteError::NulInName);
        }
        let at = match find_name(self.names.get(..self.names_len).unwrap_or_default(), name) {
            Some(at) => at,
            None => {
                let full = WriteError::NamesFull(self.names.len());
                let at = self.names_len;
                let nul = at.checked_add(name.len()).ok_or(full)?;
                *self.names.get_mut(nul).ok_or(full)? = 0;
                self.names.get_mut(at..nul).ok_or(full)?.copy_from_slice(name);
                self.names_len = nul.saturating_add(1);
                at
            }
        };
        u32::try_from(at).map_err(|_| WriteError::TooLong(at))
    }

    /// Ends the tree. Returns `totalsize`, which includes `spare` bytes after the last block for growth.
    ///
    /// # Errors
    /// The buffer is full, or nodes are open.
    pub fn finish(mut self, boot_cpu: u32, spare: usize) -> Result<usize, WriteError> {
        if self.depth != 0 {
            return Err(WriteError::Unbalanced);
        }
        self.append(&END.to_be_bytes())?;
        let strings_at = self.at;
        let full = WriteError::TreeFull(self.tree.len());
        let strings_end = strings_at.checked_add(self.names_len).ok_or(full)?;
        let names = self.names.get(..self.names_len).ok_or(full)?;
        self.tree.get_mut(strings_at..strings_end).ok_or(full)?.copy_from_slice(names);
        let total = strings_end
            .checked_add(spare)
            .and_then(|end| end.checked_next_multiple_of(8))
            .filter(|&total| total <= self.tree.len())
            .ok_or(full)?;
        self.tree.get_mut(strings_end..total).ok_or(full)?.fill(0);
        let structure_len = strings_at.saturating_sub(self.structure_at);
        let header = Header {
            total,
            structure: (self.structure_at, structure_len),
            strings: (strings_at, self.names_len),
            reservations_at: HEADER_SIZE,
            boot_cpu,
        };
        self.put(0, &header.encode()?)?;
        Ok(total)
    }
}

/// Offset of `name` in a block of NUL-terminated names; only a whole name matches.
pub(crate) fn find_name(names: &[u8], name: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    for known in names.split(|&byte| byte == 0) {
        // The piece after the last NUL is empty, and no name.
        if known == name && at < names.len() {
            return Some(at);
        }
        at = at.saturating_add(known.len()).saturating_add(1);
    }
    None
}

/// The header's fields that vary; offsets and lengths in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub total: usize,
    pub structure: (usize, usize),
    pub strings: (usize, usize),
    pub reservations_at: usize,
    pub boot_cpu: u32,
}

impl Header {
    pub(crate) fn encode(&self) -> Result<[u8; HEADER_SIZE], WriteError> {
        let word = |n: usize| u32::try_from(n).map_err(|_| WriteError::TooLong(n));
        let words = [
            MAGIC,
            word(self.total)?,
            word(self.structure.0)?,
            word(self.strings.0)?,
            word(self.reservations_at)?,
            VERSION.0,
            VERSION.1,
            self.boot_cpu,
            word(self.strings.1)?,
            word(self.structure.1)?,
        ];
        let mut bytes = [0; HEADER_SIZE];
        for (into, word) in bytes.chunks_exact_mut(4).zip(words) {
            into.copy_from_slice(&word.to_be_bytes());
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{WriteError, Writer, find_name};
    use fdt::Fdt;

    fn small_tree(buffer: &mut [u8], names: &mut [u8]) -> Result<usize, WriteError> {
        let mut tree = Writer::new(buffer, names, &[(0x1000, 0x2000)])?;
        tree.begin_node(b"")?;
        tree.property(b"compatible", b"qemu,pseries\0")?;
        tree.begin_node(b"cpus")?;
        tree.begin_node(b"PowerPC,POWER9@0")?;
        tree.property(b"compatible", b"x\0")?;
        tree.property(b"a-property-with-a-name-far-longer-than-thirty-one-characters", &[1, 2, 3])?;
        tree.property(b"empty", b"")?;
        tree.end_node()?;
        tree.end_node()?;
        tree.end_node()?;
        tree.finish(7, 100)
    }

    #[test]
    fn a_written_tree_is_read_back() {
        let (mut buffer, mut names) = ([0xff; 1024], [0xff; 128]);
        let total = small_tree(&mut buffer, &mut names).unwrap();
        let fdt = Fdt::new(&buffer[..total]).unwrap();
        assert_eq!(fdt.total_size(), total);
        let cpu = fdt.find_node("/cpus/PowerPC,POWER9@0").unwrap();
        assert_eq!(cpu.property("compatible").unwrap().value, b"x\0");
        let long = "a-property-with-a-name-far-longer-than-thirty-one-characters";
        assert_eq!(cpu.property(long).unwrap().value, [1, 2, 3]);
        assert_eq!(cpu.property("empty").unwrap().value, b"");
        let reserved: Vec<_> = fdt.memory_reservations().map(|r| (r.address() as usize, r.size())).collect();
        assert_eq!(reserved, [(0x1000, 0x2000)]);
        assert_eq!(&buffer[28..32], 7_u32.to_be_bytes());
    }

    #[test]
    fn a_name_used_twice_is_stored_once() {
        let (mut buffer, mut names) = ([0; 1024], [0; 128]);
        let total = small_tree(&mut buffer, &mut names).unwrap();
        let needle = b"compatible\0";
        assert_eq!(buffer[..total].windows(needle.len()).filter(|w| w == needle).count(), 1);
    }

    #[test]
    fn a_name_is_found_only_whole() {
        let names = b"reg\0device_type\0\0";
        assert_eq!(find_name(names, b"reg"), Some(0));
        assert_eq!(find_name(names, b"device_type"), Some(4));
        assert_eq!(find_name(names, b"type"), None);
        assert_eq!(find_name(names, b""), Some(16));
        assert_eq!(find_name(b"reg\0", b""), None);
        assert_eq!(find_name(b"", b""), None);
    }

    #[test]
    fn every_smaller_buffer_is_a_named_error_and_no_tree() {
        let (mut buffer, mut names) = ([0; 1024], [0; 128]);
        let total = small_tree(&mut buffer, &mut names).unwrap();
        for len in 0..total {
            let mut buffer = [0; 1024];
            let result = small_tree(&mut buffer[..len], &mut names);
            assert_eq!(result, Err(WriteError::TreeFull(len)));
            assert_ne!(buffer[..4], [0xd0, 0x0d, 0xfe, 0xed]);
        }
        for len in 0..78 {
            assert_eq!(small_tree(&mut buffer, &mut names[..len]), Err(WriteError::NamesFull(len)));
        }
        assert!(small_tree(&mut buffer, &mut names[..78]).is_ok());
    }

    #[test]
    fn nodes_must_nest_and_names_must_not_hold_nul() {
        let (mut buffer, mut names) = ([0; 1024], [0; 128]);
        let mut tree = Writer::new(&mut buffer, &mut names, &[]).unwrap();
        assert_eq!(tree.property(b"a", b""), Err(WriteError::Unbalanced));
        assert_eq!(tree.end_node(), Err(WriteError::Unbalanced));
        assert_eq!(tree.begin_node(b"a\0b"), Err(WriteError::NulInName));
        tree.begin_node(b"").unwrap();
        assert_eq!(tree.property(b"a\0", b""), Err(WriteError::NulInName));
        assert_eq!(tree.finish(0, 0), Err(WriteError::Unbalanced));
    }
}
