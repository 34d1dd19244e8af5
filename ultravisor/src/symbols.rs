//! Names of a kernel's functions, from its ELF file.

use std::path::Path;

use super::image::Fields;

/// The four top bits of an effective address, which select the mapping.
const MAPPING: u64 = 0xf000_0000_0000_0000;
const SYMBOL_TABLE: u64 = 2;
const OBJECT: u64 = 1;
const FUNCTION: u64 = 2;
/// The type of a symbol from assembly without a type directive.
const NO_TYPE: u64 = 0;
/// Section numbers from here on name no section: absolute and common symbols.
const NO_SECTION: u64 = 0xff00;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    /// Offset in the image.
    start: u64,
    size: u64,
    name: String,
}

/// Functions by offset in the image.
#[derive(Clone, Debug, Default)]
pub struct Symbols(Vec<Function>);

impl Symbols {
    /// The functions of a file; empty if it has no symbols.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        std::fs::read(path).ok().and_then(|file| parse(&file)).unwrap_or_default()
    }

    /// The function at an address, with the offset in it, or the address where none is known. The image is at `base`.
    #[must_use]
    pub fn name(&self, address: u64, base: u64) -> String {
        let at = (address & !MAPPING).wrapping_sub(base);
        let after = self.0.partition_point(|function| function.start <= at);
        let found = after.checked_sub(1).and_then(|index| self.0.get(index));
        // Assembly often gives no size: such a function ends where the next one begins.
        let reaches = |function: &&Function| match function.size {
            0 => after < self.0.len(),
            size => at - function.start < size,
        };
        match found.filter(reaches) {
            Some(function) => format!("{}+{:#x}", function.name, at - function.start),
            None => format!("{address:#x}"),
        }
    }
}

/// An entry of a file's symbol table.
struct Entry {
    kind: u64,
    section: u64,
    name: String,
    value: u64,
    size: u64,
}

fn entries(file: &[u8]) -> Option<Vec<Entry>> {
    let fields = Fields { file, little: file.get(5) == Some(&1) };
    let number = |at: u64, size: u64| fields.number(at, size).ok();
    let (table, size, count) = (number(40, 8)?, number(58, 2)?, number(60, 2)?);
    let header = |index: u64| table.checked_add(index.checked_mul(size)?);
    let section = (0..count).filter_map(header).find(|at| number(at + 4, 4) == Some(SYMBOL_TABLE))?;
    let names = header(number(section + 40, 4)?)?;
    let names = file.get(usize::try_from(number(names + 24, 8)?).ok()?..)?;
    let (start, bytes) = (number(section + 24, 8)?, number(section + 32, 8)?);
    let entry = |at: u64| {
        let name = names.get(usize::try_from(number(at, 4)?).ok()?..)?;
        let name = name.split(|byte| *byte == 0).next()?;
        Some(Entry {
            kind: number(at + 4, 1)? & 15,
            section: number(at + 6, 2)?,
            name: String::from_utf8_lossy(name).into_owned(),
            value: number(at + 8, 8)?,
            size: number(at + 16, 8)?,
        })
    };
    Some((start..start.checked_add(bytes)?).step_by(24).filter_map(entry).collect())
}

/// Bytes of a variable, by its name in an ELF file's symbol table.
#[must_use]
pub fn object_bytes(file: &[u8], name: &str) -> Option<u64> {
    let found = entries(file)?.into_iter().find(|entry| entry.kind == OBJECT && entry.name == name)?;
    Some(found.size)
}

fn parse(file: &[u8]) -> Option<Symbols> {
    let mut functions: Vec<Function> = entries(file)?
        .into_iter()
        .filter(|entry| [FUNCTION, NO_TYPE].contains(&entry.kind))
        .filter(|entry| (1..NO_SECTION).contains(&entry.section))
        .map(|Entry { name, value, size, .. }| Function { start: value & !MAPPING, size, name })
        .collect();
    functions.sort();
    Some(Symbols(functions))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_in_each_mapping() {
        let function = |start, name: &str| Function { start, size: 0x80, name: name.to_owned() };
        let sizeless = |start, name: &str| Function { size: 0, ..function(start, name) };
        let symbols = Symbols(vec![
            function(0x100, "first"),
            function(0x200, "second"),
            sizeless(0x300, "third"),
            sizeless(0x400, "last"),
        ]);
        assert_eq!(symbols.name(0x3fc, 0), "third+0xfc");
        assert_eq!(symbols.name(0x400, 0), "0x400", "it has no known end");
        assert_eq!(symbols.name(0x104, 0), "first+0x4");
        assert_eq!(symbols.name(0xc000_0000_0000_0200, 0), "second+0x0");
        assert_eq!(symbols.name(0x40_0110, 0x40_0000), "first+0x10");
        assert_eq!(symbols.name(0x50, 0), "0x50");
        assert_eq!(symbols.name(0x180, 0), "0x180", "behind the first, and not in it");
    }

    #[test]
    fn a_file_without_symbols_has_no_names() {
        assert!(parse(b"\x7fELF").is_none());
        assert_eq!(object_bytes(b"\x7fELF", "zeros"), None);
    }

    /// An ELF file of two sections: symbols, each with name, type and size, and their names.
    pub(crate) fn file(little: bool, symbols: &[(&str, u64, u64)]) -> Vec<u8> {
        let names: Vec<u8> = symbols.iter().flat_map(|(name, ..)| [name.as_bytes(), &[0]].concat()).collect();
        let (table, text) = (64 + 2 * 64, 64 + 2 * 64 + 24 * symbols.len());
        let mut file = vec![0; text];
        file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, if little { 1 } else { 2 }, 1]);
        let mut put = |at: usize, size: usize, value: u64| {
            let bytes = &mut file[at..at + size];
            bytes.copy_from_slice(&value.to_be_bytes()[8 - size..]);
            if little {
                bytes.reverse();
            }
        };
        let bytes = 24 * symbols.len() as u64;
        let header = [(40, 8, 64), (58, 2, 64), (60, 2, 2), (64 + 4, 4, 2), (64 + 24, 8, table as u64)];
        let sections = [(64 + 32, 8, bytes), (64 + 40, 4, 1), (128 + 4, 4, 3), (128 + 24, 8, text as u64)];
        for (at, size, value) in header.into_iter().chain(sections) {
            put(at, size, value);
        }
        let mut name = 0;
        for (at, (text, kind, size)) in (table..).step_by(24).zip(symbols) {
            for (at, bytes, value) in [(at, 4, name), (at + 4, 1, *kind), (at + 6, 2, 1), (at + 16, 8, *size)]
            {
                put(at, bytes, value);
            }
            name += text.len() as u64 + 1;
        }
        file.extend(names);
        file
    }

    #[test]
    fn a_variables_size_is_found_by_its_name_in_either_byte_order() {
        for little in [true, false] {
            let file = file(little, &[("run", FUNCTION, 8), ("zeros", OBJECT, 0x1000), ("zero", OBJECT, 1)]);
            assert_eq!(object_bytes(&file, "zeros"), Some(0x1000));
            assert_eq!((object_bytes(&file, "run"), object_bytes(&file, "zer")), (None, None));
            assert_eq!(parse(&file).expect("symbols").name(4, 0), "run+0x4");
        }
    }
}
