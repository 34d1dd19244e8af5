//! Reads an untrusted tree: checks all of it first.

use fdt::Fdt;
use fdt::node::FdtNode;
use pseries_tree::FdtError;

use crate::error::ReadError;

/// A tree that [`pseries_tree::Tree::check`] has passed.
#[derive(Debug)]
pub(crate) struct Tree<'a>(Fdt<'a>);

impl<'a> Tree<'a> {
    /// Checks all of it. Bytes behind its end are left alone.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let size = pseries_tree::Tree::check(bytes)?.size();
        let truncated = ReadError::Tree(FdtError::Truncated { have: bytes.len(), need: size });
        let bytes = bytes.get(..size).ok_or_else(|| truncated.clone())?;
        Fdt::new(bytes).map(Self).map_err(|_| truncated)
    }

    /// The node at the end of a path from the root, each part a whole name. The first of two with the same name counts.
    pub(crate) fn node(&self, path: &[&str]) -> Result<FdtNode<'_, 'a>, ReadError> {
        let missing = || ReadError::NoNode(format!("/{}", path.join("/")));
        // The crate's own search by path follows aliases, which may loop.
        let mut node = self.0.find_node("/").ok_or_else(missing)?;
        for part in path {
            node = node.children().find(|child| child.name == *part).ok_or_else(missing)?;
        }
        Ok(node)
    }

    /// Whether the root says that it is this kind of tree.
    pub(crate) fn check_compatible(&self, wanted: &'static str) -> Result<(), ReadError> {
        let value = property(self.node(&[])?, "compatible")?;
        let fits = value.strip_suffix(&[0]) == Some(wanted.as_bytes());
        if fits { Ok(()) } else { Err(ReadError::Compatible(wanted)) }
    }
}

/// A property's bytes.
pub(crate) fn property<'a>(node: FdtNode<'_, 'a>, name: &'static str) -> Result<&'a [u8], ReadError> {
    let missing = || ReadError::NoProperty { node: node.name.to_owned(), property: name };
    node.property(name).map(|property| property.value).ok_or_else(missing)
}

/// A property as text without its NUL, whatever the bytes are.
pub(crate) fn text(node: FdtNode<'_, '_>, name: &'static str) -> Result<String, ReadError> {
    let value = property(node, name)?;
    Ok(String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned())
}
