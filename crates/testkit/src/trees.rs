//! Trees for tests: real ones (`testdata/README.md` says where they come from) and made ones.

use std::string::String;
use std::vec::Vec;

macro_rules! tree {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/", $name, ".dtb"))
    };
}

pub const POWER9_256M: &[u8] = tree!("power9-256m");
pub const POWER9_512M_INITRD: &[u8] = tree!("power9-512m-initrd");
pub const POWER9_1G_NUMA: &[u8] = tree!("power9-1g-numa");
pub const POWER9_64G: &[u8] = tree!("power9-64g");
pub const POWER9_TWO_PHBS: &[u8] = tree!("power9-two-phbs");
pub const POWER10_4G_SMP2: &[u8] = tree!("power10-4g-smp2");

/// As the boot stage hands it over, under SLOF and under VOF.
pub const SLOF_512M_MARKER: &[u8] = tree!("slof-512m-marker");
pub const VOF_512M: &[u8] = tree!("vof-512m");

pub const REAL: [&[u8]; 8] = [
    POWER9_256M,
    POWER9_512M_INITRD,
    POWER9_1G_NUMA,
    POWER9_64G,
    POWER9_TWO_PHBS,
    POWER10_4G_SMP2,
    SLOF_512M_MARKER,
    VOF_512M,
];

/// Writes a tree token by token, without asking whether it makes sense.
#[derive(Clone, Default)]
pub struct Builder {
    reservations: Vec<(u64, u64)>,
    tokens: Vec<u8>,
    strings: Vec<u8>,
    boot_cpu: u32,
}

impl Builder {
    pub fn new() -> Self {
        Self::default()
    }

    /// An existing tree, token for token; `edit` sees each property and may change it or drop it.
    pub fn edited(blob: &[u8], mut edit: impl FnMut(&str, &str, &[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
        let checked = pseries_tree::Tree::check(blob).unwrap();
        let tree = fdt::Fdt::new(blob).unwrap();
        let mut builder = Self::new().boot_cpu(checked.boot_cpu());
        for (start, len) in checked.reservations() {
            builder = builder.reserve(start, len);
        }
        fn copy(
            mut builder: Builder,
            node: fdt::node::FdtNode<'_, '_>,
            path: &str,
            edit: &mut impl FnMut(&str, &str, &[u8]) -> Option<Vec<u8>>,
        ) -> Builder {
            builder = builder.node(node.name);
            for property in node.properties() {
                if let Some(value) = edit(path, property.name, property.value) {
                    builder = builder.prop(property.name, &value);
                }
            }
            for child in node.children() {
                let path = std::format!("{path}/{}", child.name);
                builder = copy(builder, child, &path, edit);
            }
            builder.end()
        }
        copy(builder, tree.find_node("/").unwrap(), "", &mut edit).blob()
    }

    pub fn boot_cpu(mut self, cpu: u32) -> Self {
        self.boot_cpu = cpu;
        self
    }

    pub fn reserve(mut self, start: u64, len: u64) -> Self {
        self.reservations.push((start, len));
        self
    }

    pub fn word(mut self, word: u32) -> Self {
        self.tokens.extend(word.to_be_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.tokens.extend(bytes);
        self.tokens.resize(self.tokens.len().next_multiple_of(4), 0);
        self
    }

    pub fn node(self, name: &str) -> Self {
        let mut name = String::from(name);
        name.push('\0');
        self.word(1).bytes(name.as_bytes())
    }

    pub fn end(self) -> Self {
        self.word(2)
    }

    pub fn prop(mut self, name: &str, value: &[u8]) -> Self {
        let offset = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        self.word(3).word(value.len() as u32).word(offset).bytes(value)
    }

    pub fn cells(self, name: &str, words: &[u32]) -> Self {
        let value: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.prop(name, &value)
    }

    /// The blob: header, reservations, structure (with its end token), strings.
    pub fn blob(self) -> Vec<u8> {
        let tokens = self.word(9);
        let structure = 40 + 16 * (tokens.reservations.len() + 1);
        let strings = structure + tokens.tokens.len();
        let total = strings + tokens.strings.len();
        let header = [
            0xd00d_feed,
            total,
            structure,
            strings,
            40,
            17,
            16,
            tokens.boot_cpu as usize,
            tokens.strings.len(),
            tokens.tokens.len(),
        ];
        let mut blob: Vec<u8> = header.iter().flat_map(|&word| (word as u32).to_be_bytes()).collect();
        for (start, len) in tokens.reservations.iter().chain(&[(0, 0)]) {
            blob.extend(start.to_be_bytes());
            blob.extend(len.to_be_bytes());
        }
        blob.extend(&tokens.tokens);
        blob.extend(&tokens.strings);
        blob
    }
}
