//! Copies a flattened tree into our buffer, and adds properties to it there.

use crate::fdt_writer::{
    BEGIN_NODE, END, END_NODE, HEADER_SIZE, Header, MAGIC, NOP, PROP, VERSION, WriteError, find_name,
};
use core::ops::Range;
use thiserror::Error;

/// Why a tree could not be copied or edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// The tree is malformed at this byte.
    #[error("device tree malformed at byte {0:#x}")]
    Malformed(usize),
    /// There is no such node below the root.
    #[error("device tree lacks the node to edit")]
    NoNode,
    /// The edited tree does not fit.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Copies `from` into `into`, with its blocks in canonical order. Returns `totalsize`, which includes `spare` bytes
/// for growth.
///
/// # Errors
/// A malformed header, or no room.
pub fn copy(from: &[u8], into: &mut [u8], spare: usize) -> Result<usize, EditError> {
    let header = read_header(from)?;
    let reservations = reservations(from, header.reservations_at)?;
    let full = EditError::Write(WriteError::TreeFull(into.len()));
    let mut at = HEADER_SIZE;
    let mut starts = [0; 3];
    for (start, block) in starts.iter_mut().zip([reservations, span(header.structure), span(header.strings)])
    {
        let bytes = from.get(block.clone()).ok_or(EditError::Malformed(block.start))?;
        let end = at.checked_add(bytes.len()).ok_or(full)?;
        into.get_mut(at..end).ok_or(full)?.copy_from_slice(bytes);
        *start = at;
        at = end;
    }
    let total = at
        .checked_add(spare)
        .and_then(|end| end.checked_next_multiple_of(8))
        .filter(|&total| total <= into.len())
        .ok_or(full)?;
    into.get_mut(at..total).ok_or(full)?.fill(0);
    let [reservations_at, structure, strings] = starts;
    let header = Header {
        total,
        structure: (structure, header.structure.1),
        strings: (strings, header.strings.1),
        reservations_at,
        boot_cpu: header.boot_cpu,
    };
    into.get_mut(..HEADER_SIZE).ok_or(full)?.copy_from_slice(&header.encode()?);
    Ok(total)
}

/// Adds a property to the root's child `node`, which must not have it yet, in a tree that [`copy`] or the writer
/// made. Uses the tree's spare bytes. Returns `totalsize`, the length of `tree`, which does not change.
///
/// # Errors
/// No such node, or no room.
pub fn insert_property(tree: &mut [u8], node: &[u8], name: &[u8], value: &[u8]) -> Result<usize, EditError> {
    let header = read_header(tree)?;
    let full = EditError::Write(WriteError::TreeFull(tree.len()));
    if span(header.structure).end > header.strings.0 {
        // The code below moves everything behind the structure block, so the strings must come after it.
        return Err(EditError::Malformed(12));
    }
    let place = find_node(tree, &header, node)?;
    let strings = tree.get(span(header.strings)).ok_or(EditError::Malformed(header.strings.0))?;
    let known = find_name(strings, name);
    let name_at = known.unwrap_or(header.strings.1);
    let name_len = if known.is_some() { 0 } else { name.len().saturating_add(1) };
    let padded = value.len().checked_next_multiple_of(4).ok_or(full)?;
    let grown = padded.checked_add(12).ok_or(full)?;

    let strings_end = span(header.strings).end;
    let end = strings_end.checked_add(grown).and_then(|end| end.checked_add(name_len)).ok_or(full)?;
    if end > tree.len() {
        return Err(full);
    }
    let insert_end = place.checked_add(grown).ok_or(full)?;
    tree.copy_within(place..strings_end, insert_end);
    let token = [
        PROP,
        u32::try_from(value.len()).map_err(|_| WriteError::TooLong(value.len()))?,
        u32::try_from(name_at).map_err(|_| WriteError::TooLong(name_at))?,
    ];
    let inserted = tree.get_mut(place..insert_end).ok_or(full)?;
    inserted.fill(0);
    for (into, word) in inserted.chunks_exact_mut(4).zip(token) {
        into.copy_from_slice(&word.to_be_bytes());
    }
    let value_end = value.len().saturating_add(12);
    inserted.get_mut(12..value_end).ok_or(full)?.copy_from_slice(value);
    if known.is_none() {
        let appended = tree.get_mut(end.saturating_sub(name_len)..end).ok_or(full)?;
        appended.fill(0);
        appended.get_mut(..name.len()).ok_or(full)?.copy_from_slice(name);
    }
    let header = Header {
        total: header.total.max(end),
        structure: (header.structure.0, header.structure.1.saturating_add(grown)),
        strings: (header.strings.0.saturating_add(grown), header.strings.1.saturating_add(name_len)),
        ..header
    };
    tree.get_mut(..HEADER_SIZE).ok_or(full)?.copy_from_slice(&header.encode()?);
    Ok(header.total)
}

/// Whether the root's child `node` has this property.
///
/// # Errors
/// A malformed tree, or no such node.
pub fn has_property(tree: &[u8], node: &[u8], name: &[u8]) -> Result<bool, EditError> {
    let header = read_header(tree)?;
    let strings = tree.get(span(header.strings)).ok_or(EditError::Malformed(header.strings.0))?;
    let mut at = find_node(tree, &header, node)?;
    // Properties come first; the next node or the end of this one ends the list.
    loop {
        match word(tree, at)? {
            PROP => {}
            NOP => {
                at = at.saturating_add(4);
                continue;
            }
            _ => return Ok(false),
        }
        let malformed = EditError::Malformed(at);
        let known = strings.get(word(tree, at.saturating_add(8))? as usize..).ok_or(malformed)?;
        if known.split(|&byte| byte == 0).next() == Some(name) {
            return Ok(true);
        }
        let len = word(tree, at.saturating_add(4))? as usize;
        let padded = len.checked_next_multiple_of(4).ok_or(malformed)?;
        at = at.checked_add(12).and_then(|at| at.checked_add(padded)).ok_or(malformed)?;
    }
}

fn span((start, len): (usize, usize)) -> Range<usize> {
    start..start.saturating_add(len)
}

fn word(tree: &[u8], at: usize) -> Result<u32, EditError> {
    let bytes = tree.get(at..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(EditError::Malformed(at))
}

fn read_header(tree: &[u8]) -> Result<Header, EditError> {
    let field = |at: usize| word(tree, at).map(|value| value as usize);
    if word(tree, 0)? != MAGIC {
        return Err(EditError::Malformed(0));
    }
    // Version 17 has the size of the structure; what can be read as 16 has the same tokens.
    if word(tree, 20)? < VERSION.0 {
        return Err(EditError::Malformed(20));
    }
    if word(tree, 24)? > VERSION.0 {
        return Err(EditError::Malformed(24));
    }
    let header = Header {
        total: field(4)?,
        structure: (field(8)?, field(36)?),
        strings: (field(12)?, field(32)?),
        reservations_at: field(16)?,
        boot_cpu: word(tree, 28)?,
    };
    if header.total > tree.len() {
        return Err(EditError::Malformed(4));
    }
    for (at, block) in [(8, span(header.structure)), (12, span(header.strings))] {
        if block.end > header.total {
            return Err(EditError::Malformed(at));
        }
    }
    Ok(header)
}

/// The reservation block, its terminator included.
fn reservations(tree: &[u8], start: usize) -> Result<Range<usize>, EditError> {
    let mut at = start;
    for entry in tree.get(start..).ok_or(EditError::Malformed(16))?.chunks_exact(16) {
        at = at.saturating_add(16);
        if entry.iter().all(|&byte| byte == 0) {
            return Ok(start..at);
        }
    }
    Err(EditError::Malformed(start))
}

/// Offset at which a property of the root's child `node` is inserted: right after the node's name.
fn find_node(tree: &[u8], header: &Header, node: &[u8]) -> Result<usize, EditError> {
    let structure = span(header.structure);
    let tree = tree.get(..structure.end).ok_or(EditError::Malformed(8))?;
    let mut at = structure.start;
    let mut depth = 0_usize;
    // Every turn goes at least one token forward.
    while at < structure.end {
        let malformed = EditError::Malformed(at);
        let token = word(tree, at)?;
        at = at.saturating_add(4);
        match token {
            BEGIN_NODE => {
                let rest = tree.get(at..).ok_or(malformed)?;
                let len = rest.iter().position(|&byte| byte == 0).ok_or(malformed)?;
                let padded = len.saturating_add(1).checked_next_multiple_of(4).ok_or(malformed)?;
                at = at.checked_add(padded).ok_or(malformed)?;
                depth = depth.saturating_add(1);
                if depth == 2 && rest.get(..len) == Some(node) {
                    return Ok(at);
                }
            }
            END_NODE => depth = depth.checked_sub(1).ok_or(malformed)?,
            PROP => {
                let len = word(tree, at)? as usize;
                let padded = len.checked_next_multiple_of(4).ok_or(malformed)?;
                at = at.checked_add(8).and_then(|at| at.checked_add(padded)).ok_or(malformed)?;
            }
            NOP => {}
            END => break,
            _ => return Err(malformed),
        }
    }
    Err(EditError::NoNode)
}

#[cfg(test)]
mod tests {
    use super::{EditError, copy, has_property, insert_property};
    use crate::fdt_writer::{WriteError, Writer};
    use fdt::Fdt;

    fn machine() -> Vec<u8> {
        let (mut buffer, mut names) = (vec![0; 1024], vec![0; 128]);
        let mut tree = Writer::new(&mut buffer, &mut names, &[(0x1_0000, 0x2_0000)]).unwrap();
        tree.begin_node(b"").unwrap();
        tree.property(b"compatible", b"qemu,pseries\0").unwrap();
        tree.begin_node(b"other").unwrap();
        tree.begin_node(b"chosen").unwrap();
        tree.property(b"not-this-one", b"").unwrap();
        tree.end_node().unwrap();
        tree.end_node().unwrap();
        tree.begin_node(b"chosen").unwrap();
        tree.property(b"bootargs", b"svm=on\0").unwrap();
        tree.end_node().unwrap();
        tree.end_node().unwrap();
        let total = tree.finish(3, 0).unwrap();
        buffer.truncate(total);
        buffer
    }

    /// The same tree with its strings before its structure.
    fn strings_first() -> Vec<u8> {
        let tree = machine();
        let field = |at: usize| u32::from_be_bytes(tree[at..at + 4].try_into().unwrap()) as usize;
        let (structure, strings) = (field(8)..field(8) + field(36), field(12)..field(12) + field(32));
        let mut turned = tree[..structure.start].to_vec();
        let strings_at = turned.len();
        turned.extend(&tree[strings]);
        turned.resize(turned.len().next_multiple_of(4), 0);
        let structure_at = turned.len();
        turned.extend(&tree[structure]);
        let total = turned.len();
        for (at, value) in [(4, total), (8, structure_at), (12, strings_at)] {
            turned[at..at + 4].copy_from_slice(&(value as u32).to_be_bytes());
        }
        turned
    }

    fn properties(tree: &[u8]) -> Vec<(String, String, Vec<u8>)> {
        let fdt = Fdt::new(tree).unwrap();
        let of = |node: fdt::node::FdtNode<'_, '_>| {
            let name = node.name.to_owned();
            node.properties()
                .map(|p| (name.clone(), p.name.to_owned(), p.value.to_owned()))
                .collect::<Vec<_>>()
        };
        fdt.all_nodes().flat_map(of).collect()
    }

    #[test]
    fn a_copy_has_the_same_content_in_canonical_order() {
        for from in [machine(), strings_first()] {
            let mut into = vec![0xff; 2048];
            let total = copy(&from, &mut into, 64).unwrap();
            assert_eq!(properties(&into[..total]), properties(&machine()));
            let fdt = Fdt::new(&into[..total]).unwrap();
            assert_eq!(fdt.total_size(), total);
            let reserved: Vec<_> =
                fdt.memory_reservations().map(|r| (r.address() as usize, r.size())).collect();
            assert_eq!(reserved, [(0x1_0000, 0x2_0000)]);
            assert_eq!(into[28..32], [0, 0, 0, 3]);
        }
    }

    #[test]
    fn an_inserted_property_is_there_and_nothing_else_changed() {
        let mut tree = vec![0; 2048];
        let total = copy(&machine(), &mut tree, 64).unwrap();
        let grown = insert_property(&mut tree[..total], b"chosen", b"postern,esm", &[0, 0, 0, 0, 0, 0x40, 0]);
        assert_eq!(grown, Ok(total));
        let mut now = properties(&tree[..total]);
        let new = ("chosen".to_owned(), "postern,esm".to_owned(), vec![0, 0, 0, 0, 0, 0x40, 0]);
        let at = now.iter().position(|p| *p == new).expect("inserted");
        now.remove(at);
        assert_eq!(now, properties(&machine()));
        assert_eq!(
            Fdt::new(&tree[..total]).unwrap().find_node("/chosen").unwrap().properties().count(),
            2,
            "in the root's own child, not in a node of the same name elsewhere"
        );
    }

    #[test]
    fn a_known_name_is_not_stored_again() {
        let mut tree = vec![0; 2048];
        let total = copy(&machine(), &mut tree, 64).unwrap();
        insert_property(&mut tree[..total], b"other", b"bootargs", b"x").unwrap();
        let needle = b"bootargs\0";
        assert_eq!(tree.windows(needle.len()).filter(|w| w == needle).count(), 1);
        assert_eq!(
            Fdt::new(&tree).unwrap().find_node("/other").unwrap().property("bootargs").unwrap().value,
            b"x"
        );
    }

    #[test]
    fn without_room_nothing_is_changed() {
        let mut tree = vec![0; 2048];
        let total = copy(&machine(), &mut tree, 0).unwrap();
        let before = tree.clone();
        let result = insert_property(&mut tree[..total], b"chosen", b"postern,esm", &[0; 8]);
        assert_eq!(result, Err(EditError::Write(WriteError::TreeFull(total))));
        assert_eq!(tree, before);
        assert_eq!(
            copy(&machine(), &mut tree[..total - 1], 0),
            Err(EditError::Write(WriteError::TreeFull(total - 1)))
        );
    }

    #[test]
    fn a_property_is_found_in_its_node_only() {
        let tree = machine();
        assert_eq!(has_property(&tree, b"chosen", b"bootargs"), Ok(true));
        assert_eq!(has_property(&tree, b"chosen", b"compatible"), Ok(false));
        assert_eq!(has_property(&tree, b"chosen", b"bootarg"), Ok(false));
        assert_eq!(has_property(&tree, b"other", b"not-this-one"), Ok(false));
        assert_eq!(has_property(&tree, b"absent", b"bootargs"), Err(EditError::NoNode));
    }

    #[test]
    fn a_missing_node_is_named() {
        let mut tree = machine();
        assert_eq!(insert_property(&mut tree, b"absent", b"p", b""), Err(EditError::NoNode));
    }

    #[test]
    fn every_changed_byte_and_every_cut_ends_in_a_tree_or_an_error() {
        let good = machine();
        let mut into = vec![0; 4096];
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = insert_property(&mut bad.clone(), b"chosen", b"p", b"v");
                let _ = has_property(&bad, b"chosen", b"p");
                if let Ok(total) = copy(&bad, &mut into, 64) {
                    assert!(total <= into.len());
                    let _ = insert_property(&mut into[..total], b"chosen", b"p", b"v");
                }
            }
            assert!(copy(&good[..at], &mut into, 0).is_err(), "cut at {at}");
        }
    }
}
