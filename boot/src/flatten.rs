//! Flattens firmware's device tree.

use crate::client_interface::{ClientError, ClientInterface, Name, Phandle};
use crate::fdt_writer::{WriteError, Writer};
use thiserror::Error;

/// Greatest depth of a node.
const MAX_DEPTH: usize = 32;
/// Most nodes in a tree: the bound for a tree without end.
const MAX_NODES: usize = 1 << 16;
/// Most properties of one node.
const MAX_PROPERTIES: usize = 1 << 12;
/// Longest path of a node, in bytes.
const MAX_PATH: usize = 1024;
/// Prefix of properties in `/chosen` that only the boot stage writes; firmware's properties with this prefix are
/// left out.
const OWN_PREFIX: &[u8] = b"postern,";

/// Why firmware's tree could not be flattened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FlattenError {
    /// A call into firmware failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The flattened tree could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// More than this many nodes below each other.
    #[error("device tree nodes nest deeper than {0}")]
    TooDeep(usize),
    /// More than this many nodes.
    #[error("device tree has more than {0} nodes")]
    TooManyNodes(usize),
    /// A node with more than this many properties.
    #[error("a device tree node has more than {0} properties")]
    TooManyProperties(usize),
    /// A node's path has this many bytes.
    #[error("a device tree path of {0} bytes")]
    PathTooLong(usize),
    /// A node's property was listed and is not there.
    #[error("a listed property of node {0:#x} is not there")]
    PropertyGone(Phandle),
}

/// A property for the flattened tree; it replaces firmware's property of this name.
#[derive(Clone, Copy, Debug)]
pub struct Addition<'a> {
    /// The node's full path.
    pub path: &'a [u8],
    /// The property's name.
    pub name: &'a [u8],
    /// The property's value.
    pub value: &'a [u8],
}

/// Writes firmware's whole tree, with `additions` in place of properties of the same name.
///
/// Every node gets a `phandle`: its own property, or else firmware's handle, which other nodes of such a tree
/// refer to.
///
/// # Errors
/// See [`FlattenError`].
pub fn flatten(
    firmware: &mut impl ClientInterface,
    tree: &mut Writer<'_>,
    additions: &[Addition<'_>],
) -> Result<(), FlattenError> {
    let mut open = [0; MAX_DEPTH];
    let mut depth = 0_usize;
    let mut node = firmware.root()?;
    for _ in 0..MAX_NODES {
        write_node(firmware, tree, node, additions)?;
        *open.get_mut(depth).ok_or(FlattenError::TooDeep(MAX_DEPTH))? = node;
        depth = depth.saturating_add(1);
        if let Some(child) = firmware.child(node)? {
            node = child;
            continue;
        }
        loop {
            tree.end_node()?;
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Ok(());
            }
            let done = open.get(depth).copied().unwrap_or_default();
            if let Some(peer) = firmware.peer(done)? {
                node = peer;
                break;
            }
        }
    }
    Err(FlattenError::TooManyNodes(MAX_NODES))
}

/// Begins a node and writes its properties.
fn write_node(
    firmware: &mut impl ClientInterface,
    tree: &mut Writer<'_>,
    node: Phandle,
    additions: &[Addition<'_>],
) -> Result<(), FlattenError> {
    let mut path = [0; MAX_PATH];
    let len = firmware.path(node, &mut path)?;
    let path = path.get(..len).ok_or(FlattenError::PathTooLong(len))?;
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    tree.begin_node(path.rsplit(|&byte| byte == b'/').next().unwrap_or_default())?;

    let here = || additions.iter().filter(|addition| addition.path == path);
    let mut has_phandle = false;
    let mut name = Name::NONE;
    let mut count = 0_usize;
    while let Some(next) = firmware.next_property(node, &name)? {
        name = next;
        count = count.saturating_add(1);
        if count > MAX_PROPERTIES {
            return Err(FlattenError::TooManyProperties(MAX_PROPERTIES));
        }
        // A flattened node's name is its own field.
        if name.as_bytes() == b"name" {
            continue;
        }
        let replaced = here().any(|addition| addition.name == name.as_bytes());
        if replaced || (path == b"/chosen" && name.as_bytes().starts_with(OWN_PREFIX)) {
            continue;
        }
        has_phandle |= name.as_bytes() == b"phandle";
        let len = firmware.property_len(node, &name)?.ok_or(FlattenError::PropertyGone(node))?;
        let mut read = Ok(());
        tree.property_of(name.as_bytes(), len, |into| read = firmware.property(node, &name, into))?;
        read?;
    }
    for addition in here() {
        tree.property(addition.name, addition.value)?;
    }
    if !has_phandle {
        tree.property(b"phandle", &node.to_be_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
