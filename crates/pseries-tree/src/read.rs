//! Reads values of a checked tree as numbers, text and lists. Checks every length.

use super::guard::Tree;
use fdt::node::FdtNode;

/// A node of a checked tree.
pub(super) type Node<'b, 'a> = FdtNode<'b, 'a>;

/// The root. The guard has checked that it exists and that its name is empty, as the crate `fdt` demands.
pub(super) fn root<'b, 'a>(tree: &'b Tree<'a>) -> Option<Node<'b, 'a>> {
    tree.fdt.find_node("/")
}

/// The children of that name, with or without a unit address.
pub(super) fn children<'b, 'a>(node: Node<'b, 'a>, name: &str) -> impl Iterator<Item = Node<'b, 'a>> {
    node.children().filter(move |child| child.name == name || base_name(child.name) == name)
}

/// The first child of this name.
pub(super) fn child<'b, 'a>(node: Node<'b, 'a>, name: &str) -> Option<Node<'b, 'a>> {
    children(node, name).next()
}

/// The node at an absolute path, without aliases; arguments after `:` are ignored.
pub(super) fn node_at<'b, 'a>(tree: &'b Tree<'a>, path: &str) -> Option<Node<'b, 'a>> {
    let path = path.split(':').next()?.strip_prefix('/')?;
    path.split('/').filter(|part| !part.is_empty()).try_fold(root(tree)?, child)
}

/// A node's name without its unit address.
pub(super) fn base_name(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// The value of a property.
pub(super) fn bytes<'a>(node: Node<'_, 'a>, name: &str) -> Option<&'a [u8]> {
    Some(node.property(name)?.value)
}

/// A property that is one word.
pub(super) fn word(node: Node<'_, '_>, name: &str) -> Option<u32> {
    Some(u32::from_be_bytes(bytes(node, name)?.try_into().ok()?))
}

/// A property that is a number of one or two words.
pub(super) fn number(node: Node<'_, '_>, name: &str) -> Option<u64> {
    let value = bytes(node, name)?;
    matches!(value.len(), 4 | 8).then(|| big_endian(value)).flatten()
}

/// A property that is text: UTF-8, up to its first NUL.
pub(super) fn text<'a>(node: Node<'_, 'a>, name: &str) -> Option<&'a str> {
    bytes(node, name).and_then(first_text)
}

/// The first text of a list of texts.
pub(super) fn first_text(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value.split(|&byte| byte == 0).next()?).ok()
}

/// Whether a property is a list of texts with `wanted` in it.
pub(super) fn lists(node: Node<'_, '_>, name: &str, wanted: &str) -> bool {
    bytes(node, name)
        .is_some_and(|value| value.split(|&byte| byte == 0).any(|item| item == wanted.as_bytes()))
}

/// The words of a property; bytes after the last whole word are ignored.
pub(super) fn words(value: &[u8]) -> impl Iterator<Item = u32> + '_ {
    value.chunks_exact(4).filter_map(|word| Some(u32::from_be_bytes(word.try_into().ok()?)))
}

/// Up to 8 bytes as a number.
pub(super) fn big_endian(value: &[u8]) -> Option<u64> {
    (value.len() <= 8).then(|| value.iter().fold(0_u64, |sum, &byte| sum.wrapping_shl(8) | u64::from(byte)))
}

/// Cells of an address and of a size below a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) address: usize,
    pub(super) size: usize,
}

impl Cells {
    /// The cells below `node`; 2 and 1 by default (Devicetree Specification 2.3.5).
    pub(super) fn below(node: Node<'_, '_>) -> Self {
        let count = |name, default| word(node, name).map_or(default, |cells| cells as usize);
        Self { address: count("#address-cells", 2), size: count("#size-cells", 1) }
    }

    /// The entries of a list of (address, size), each of one or two cells. `None` if the list is empty, has a partial
    /// entry, or has other numbers of cells. A size of no cells is 0.
    pub(super) fn ranges<'v>(&self, value: &'v [u8]) -> Option<impl Iterator<Item = (u64, u64)> + use<'v>> {
        if !(1..=2).contains(&self.address) || self.size > 2 || value.is_empty() {
            return None;
        }
        let address = self.address.saturating_mul(4);
        let entry = address.saturating_add(self.size.saturating_mul(4));
        if !value.len().is_multiple_of(entry) {
            return None;
        }
        Some(value.chunks_exact(entry).filter_map(move |entry| {
            let (start, len) = entry.split_at_checked(address)?;
            Some((big_endian(start)?, big_endian(len)?))
        }))
    }
}
