//! Flattened device trees: parsing into an owned tree, and adding nodes, properties and reservations.
//!
//! Source: Devicetree Specification v0.4, chapter 5. Node and property names are not limited to 31 characters:
//! those of pseries are longer.

use std::fmt;

const MAGIC: u32 = 0xd00d_feed;
const HEADER_BYTES: usize = 40;
const VERSION: u32 = 17;
const COMPATIBLE_VERSION: u32 = 16;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;
const MAX_DEPTH: usize = 64;

/// A fault of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FdtError {
    /// The first word is not the magic number.
    Magic(u32),
    /// A version that version 17 readers cannot read.
    Version(u32),
    /// A block, an entry or a string runs past what holds it, at this offset of the tree.
    Truncated(usize),
    /// A token that is not allowed where it stands.
    Token {
        /// Offset in the tree.
        offset: usize,
        /// The word found.
        token: u32,
    },
    /// Nodes nested deeper than any real tree.
    TooDeep,
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(word) => write!(f, "device tree starts with {word:#010x}"),
            Self::Version(version) => write!(f, "device tree of version {version}"),
            Self::Truncated(offset) => write!(f, "device tree is cut short at offset {offset:#x}"),
            Self::Token { offset, token } => {
                write!(f, "device tree has token {token:#x} at offset {offset:#x}")
            }
            Self::TooDeep => write!(f, "device tree nests more than {MAX_DEPTH} nodes"),
        }
    }
}

impl std::error::Error for FdtError {}

/// A node with all that is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name with unit address; empty for the root.
    pub name: String,
    properties: Vec<(String, Vec<u8>)>,
    /// Nodes below it, in order.
    pub children: Vec<Node>,
}

impl Node {
    /// All properties, name and bytes, in order.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.properties.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// A property's bytes.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// A property of one cell.
    #[must_use]
    pub fn cell(&self, name: &str) -> Option<u32> {
        self.property(name)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// A property of one or two cells, as a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.property(name)?;
        match value.len() {
            4 => self.cell(name).map(u64::from),
            8 => value.try_into().ok().map(u64::from_be_bytes),
            _ => None,
        }
    }

    /// A property of text, without its NUL.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&[u8]> {
        self.property(name).map(|value| value.strip_suffix(&[0]).unwrap_or(value))
    }

    /// The child of this name: with its unit address, or without if it has none.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// A node to be added: its name, and its properties.
pub type Child<'a> = (String, Vec<(&'a str, Vec<u8>)>);

/// A tree, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fdt {
    /// Address and size of each reserved range.
    pub reserved: Vec<(u64, u64)>,
    /// Physical id of the CPU that boots.
    pub boot_cpu: u32,
    /// The root node.
    pub root: Node,
    structure: Vec<u8>,
    strings: Vec<u8>,
    /// Offset in the structure block of the token that ends the root.
    root_end: usize,
}

fn word(bytes: &[u8], offset: usize) -> Result<u32, FdtError> {
    let end = offset.checked_add(4).ok_or(FdtError::Truncated(offset))?;
    let bytes = bytes.get(offset..end).and_then(|word| word.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or(FdtError::Truncated(offset))
}

fn long(bytes: &[u8], offset: usize) -> Result<u64, FdtError> {
    Ok(u64::from(word(bytes, offset)?) << 32 | u64::from(word(bytes, offset.saturating_add(4))?))
}

fn text(bytes: &[u8], offset: usize) -> Result<&[u8], FdtError> {
    let rest = bytes.get(offset..).ok_or(FdtError::Truncated(offset))?;
    rest.iter().position(|byte| *byte == 0).map(|end| &rest[..end]).ok_or(FdtError::Truncated(offset))
}

fn as_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The size that a tree's header claims, from its first eight bytes.
///
/// # Errors
/// [`FdtError::Magic`] if this is no tree.
pub fn claimed_size(header: &[u8]) -> Result<u32, FdtError> {
    match word(header, 0)? {
        MAGIC => word(header, 4),
        other => Err(FdtError::Magic(other)),
    }
}

impl Fdt {
    /// Reads a tree; `bytes` may be longer than it.
    ///
    /// # Errors
    /// [`FdtError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FdtError> {
        let size = claimed_size(bytes)? as usize;
        let bytes = bytes.get(..size).ok_or(FdtError::Truncated(bytes.len()))?;
        let [structure, strings, map, version, compatible, boot_cpu, strings_size, structure_size] =
            header_words(bytes)?;
        if version < COMPATIBLE_VERSION || compatible > VERSION {
            return Err(FdtError::Version(version));
        }
        let block = |start: u32, size: u32| {
            let end = start.checked_add(size).ok_or(FdtError::Truncated(start as usize))?;
            bytes.get(start as usize..end as usize).ok_or(FdtError::Truncated(start as usize))
        };
        let mut structure = if version < VERSION {
            // Version 16 does not say how long the structure is: it ends with its last token.
            bytes.get(structure as usize..).ok_or(FdtError::Truncated(structure as usize))?.to_vec()
        } else {
            block(structure, structure_size)?.to_vec()
        };
        let strings = block(strings, strings_size)?.to_vec();

        let mut reserved = Vec::new();
        let mut offset = map as usize;
        loop {
            let entry = (long(bytes, offset)?, long(bytes, offset.saturating_add(8))?);
            if entry == (0, 0) {
                break;
            }
            reserved.push(entry);
            offset = offset.saturating_add(16);
        }
        let (root, root_end, end) = parse_structure(&structure, &strings)?;
        structure.truncate(end);
        Ok(Self { reserved, boot_cpu, root, structure, strings, root_end })
    }

    /// The node at an absolute path, each part with its unit address.
    #[must_use]
    pub fn node(&self, path: &str) -> Option<&Node> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(&self.root, |node, part| node.child(part))
    }

    /// The first node below the root, in the order of the tree, with this `device_type`.
    #[must_use]
    pub fn first_of_type(&self, device_type: &[u8]) -> Option<&Node> {
        fn find<'a>(nodes: &'a [Node], device_type: &[u8]) -> Option<&'a Node> {
            nodes.iter().find_map(|node| {
                let fits = node.text("device_type") == Some(device_type);
                if fits { Some(node) } else { find(&node.children, device_type) }
            })
        }
        find(&self.root.children, device_type)
    }

    /// Writes the tree with no gap between its blocks.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let map_size = (self.reserved.len() + 1) * 16;
        let structure_at = HEADER_BYTES + map_size;
        let strings_at = structure_at + self.structure.len();
        let total = strings_at + self.strings.len();
        let header = [
            MAGIC as usize,
            total,
            structure_at,
            strings_at,
            HEADER_BYTES,
            VERSION as usize,
            COMPATIBLE_VERSION as usize,
            self.boot_cpu as usize,
            self.strings.len(),
            self.structure.len(),
        ];
        let mut bytes = Vec::with_capacity(total);
        for value in header {
            bytes.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes());
        }
        for (address, size) in self.reserved.iter().chain([&(0, 0)]) {
            bytes.extend_from_slice(&address.to_be_bytes());
            bytes.extend_from_slice(&size.to_be_bytes());
        }
        bytes.extend_from_slice(&self.structure);
        bytes.extend_from_slice(&self.strings);
        bytes
    }

    /// Adds a node without children as the last one below the root.
    pub fn add_root_child(&mut self, name: &str, properties: &[(&str, &[u8])]) {
        let tokens = self.node_tokens(name, properties);
        let added = tokens.len();
        self.structure.splice(self.root_end..self.root_end, tokens);
        self.root_end += added;
        let properties =
            properties.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        self.root.children.push(Node { name: name.to_owned(), properties, children: Vec::new() });
    }

    /// Adds properties to each node whose name starts with `prefix`, before its own. [`Self::root`] does not change.
    pub fn add_to_nodes(&mut self, prefix: &str, properties: &[(&str, &[u8])]) {
        let tokens = self.property_tokens(properties);
        self.insert(prefix, &tokens);
    }

    /// Adds a node with children, as the last child of the root. [`Self::root`] does not change.
    pub fn add_root_tree(&mut self, name: &str, children: &[Child<'_>]) {
        let mut tokens = padded(&[&BEGIN_NODE.to_be_bytes(), name.as_bytes(), &[0]].concat());
        for (child, properties) in children {
            let all: Vec<(&str, &[u8])> =
                properties.iter().map(|(name, value)| (*name, value.as_slice())).collect();
            tokens.extend(self.node_tokens(child, &all));
        }
        tokens.extend(END_NODE.to_be_bytes());
        let added = tokens.len();
        self.structure.splice(self.root_end..self.root_end, tokens);
        self.root_end += added;
    }

    fn insert(&mut self, prefix: &str, tokens: &[u8]) {
        let mut at = 0;
        while let Ok(token) = word(&self.structure, at) {
            at += 4;
            match token {
                BEGIN_NODE => {
                    let Ok(name) = text(&self.structure, at) else { return };
                    let fits = name.starts_with(prefix.as_bytes());
                    at += (name.len() + 1).next_multiple_of(4);
                    if fits {
                        self.structure.splice(at..at, tokens.iter().copied());
                        self.root_end += tokens.len();
                        at += tokens.len();
                    }
                }
                PROPERTY => {
                    let Ok(length) = word(&self.structure, at) else { return };
                    at += 8 + (length as usize).next_multiple_of(4);
                }
                _ => {}
            }
        }
    }

    fn node_tokens(&mut self, name: &str, properties: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tokens = padded(&[&BEGIN_NODE.to_be_bytes(), name.as_bytes(), &[0]].concat());
        tokens.extend(self.property_tokens(properties));
        tokens.extend(END_NODE.to_be_bytes());
        tokens
    }

    fn property_tokens(&mut self, properties: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tokens = Vec::new();
        let cell = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        for (property, value) in properties {
            let string = [property.as_bytes(), &[0]].concat();
            let known = self.strings.windows(string.len()).position(|found| found == string);
            let at = known.unwrap_or(self.strings.len());
            if known.is_none() {
                self.strings.extend(string);
            }
            tokens.extend(PROPERTY.to_be_bytes());
            tokens.extend(cell(value.len()));
            tokens.extend(cell(at));
            tokens.extend(padded(value));
        }
        tokens
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}

fn header_words(bytes: &[u8]) -> Result<[u32; 8], FdtError> {
    let mut words = [0; 8];
    for (index, value) in words.iter_mut().enumerate() {
        *value = word(bytes, 8 + 4 * index)?;
    }
    Ok(words)
}

fn parse_structure(structure: &[u8], strings: &[u8]) -> Result<(Node, usize, usize), FdtError> {
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    let mut at = 0;
    loop {
        let token = word(structure, at)?;
        let wrong = FdtError::Token { offset: at, token };
        at += 4;
        match token {
            BEGIN_NODE if root.is_none() => {
                if open.len() == MAX_DEPTH {
                    return Err(FdtError::TooDeep);
                }
                let name = text(structure, at)?;
                open.push(Node { name: as_text(name), ..Node::default() });
                at = (at + name.len() + 1).next_multiple_of(4);
            }
            PROPERTY => {
                let node = open.last_mut().ok_or(wrong)?;
                let size = word(structure, at)? as usize;
                let name = text(strings, word(structure, at + 4)? as usize)?;
                let end = (at + 8).checked_add(size).ok_or(FdtError::Truncated(at))?;
                let value = structure.get(at + 8..end).ok_or(FdtError::Truncated(at))?;
                node.properties.push((as_text(name), value.to_vec()));
                at = end.next_multiple_of(4);
            }
            END_NODE => {
                let node = open.pop().ok_or(wrong)?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => root = Some((node, at - 4)),
                }
            }
            NOP => {}
            END => {
                let (root, root_end) = root.ok_or(wrong)?;
                return Ok((root, root_end, at));
            }
            _ => return Err(wrong),
        }
    }
}

#[cfg(test)]
#[path = "fdt/tests.rs"]
pub(super) mod tests;
