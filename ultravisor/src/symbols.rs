//! Names of a kernel's functions, from its ELF file.

use std::path::Path;

use super::image::Fields;

/// The four top bits of an effective address, which select the mapping.
const MAPPING: u64 = 0xf000_0000_0000_0000;
const SYMBOL_TABLE: u64 = 2;
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

fn parse(file: &[u8]) -> Option<Symbols> {
    let fields = Fields { file, little: file.get(5) == Some(&1) };
    let number = |at: u64, size: u64| fields.number(at, size).ok();
    let (table, size, count) = (number(40, 8)?, number(58, 2)?, number(60, 2)?);
    let header = |index: u64| table.checked_add(index.checked_mul(size)?);
    let section = (0..count).filter_map(header).find(|at| number(at + 4, 4) == Some(SYMBOL_TABLE))?;
    let names = header(number(section + 40, 4)?)?;
    let names = file.get(usize::try_from(number(names + 24, 8)?).ok()?..)?;
    let (start, bytes) = (number(section + 24, 8)?, number(section + 32, 8)?);
    let mut functions: Vec<Function> = (start..start.checked_add(bytes)?)
        .step_by(24)
        .filter(|at| number(at + 4, 1).is_some_and(|info| [FUNCTION, NO_TYPE].contains(&(info & 15))))
        .filter(|at| number(at + 6, 2).is_some_and(|section| (1..NO_SECTION).contains(&section)))
        .filter_map(|at| {
            let name = names.get(usize::try_from(number(at, 4)?).ok()?..)?;
            let name = name.split(|byte| *byte == 0).next()?;
            let name = String::from_utf8_lossy(name).into_owned();
            Some(Function { start: number(at + 8, 8)? & !MAPPING, size: number(at + 16, 8)?, name })
        })
        .collect();
    functions.sort();
    Some(Symbols(functions))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(symbols.name(0x400, 0), "0x400", "nobody says where it ends");
        assert_eq!(symbols.name(0x104, 0), "first+0x4");
        assert_eq!(symbols.name(0xc000_0000_0000_0200, 0), "second+0x0");
        assert_eq!(symbols.name(0x40_0110, 0x40_0000), "first+0x10");
        assert_eq!(symbols.name(0x50, 0), "0x50");
        assert_eq!(symbols.name(0x180, 0), "0x180", "behind the first, and not in it");
    }

    #[test]
    fn a_file_without_symbols_has_no_names() {
        assert!(parse(b"\x7fELF").is_none());
    }
}
