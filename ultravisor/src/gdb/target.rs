//! Register numbers, from the gdb server's description of its target.
//!
//! Registers are numbered in the order of their `<reg` elements, through all included files; `regnum=` sets the number.
//! QEMU 7.2's list of special purpose registers is not well-formed XML (no space between two attributes), so this code
//! only searches for elements and attributes.

/// A register of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Its number in `p` and `P` packets.
    pub number: usize,
    /// Its size.
    pub bytes: usize,
}

/// What QEMU 7.2 calls a register, and what QEMU 10.0 does (`target/ppc/cpu_init.c`).
const RENAMED: [(&str, &str); 3] = [("pid", "pidr"), ("spr_dscr", "dscr"), ("spr_ctrl", "ctrl")];

/// Names and numbers of all registers.
#[derive(Debug, Default)]
pub struct Registers {
    known: Vec<(String, Register)>,
    next: usize,
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let start = element.find(&format!("{name}=\""))? + name.len() + 2;
    let value = &element[start..];
    value.find('"').map(|end| &value[..end])
}

fn elements<'a>(xml: &'a str, open: &'a str) -> impl Iterator<Item = &'a str> {
    xml.match_indices(open).map(|(at, _)| {
        let element = &xml[at..];
        element.find('>').map_or(element, |end| &element[..end])
    })
}

/// The files that a description includes, in order.
#[must_use]
pub fn included(xml: &str) -> Vec<String> {
    elements(xml, "<xi:include ")
        .filter_map(|element| attribute(element, "href"))
        .map(str::to_owned)
        .collect()
}

impl Registers {
    /// Counts the registers of the next file.
    pub fn add(&mut self, xml: &str) {
        for element in elements(xml, "<reg ") {
            if let Some(number) = attribute(element, "regnum").and_then(|text| text.parse().ok()) {
                self.next = number;
            }
            let bits: usize = attribute(element, "bitsize").and_then(|text| text.parse().ok()).unwrap_or(0);
            if let Some(name) = attribute(element, " name") {
                let register = Register { number: self.next, bytes: bits / 8 };
                self.known.push((name.to_owned(), register));
            }
            self.next += 1;
        }
    }

    /// The first register of that name, or of the name that a later QEMU has for it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Register> {
        let named =
            |name: &str| self.known.iter().find(|(known, _)| known == name).map(|(_, register)| *register);
        let later = || RENAMED.iter().find(|(old, _)| *old == name).and_then(|(_, new)| named(new));
        named(name).or_else(later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_counted_through_files_and_moved_by_regnum() {
        let mut registers = Registers::default();
        registers.add(r#"<feature><reg name="r0" bitsize="64"/><reg name="r1" bitsize="64"/></feature>"#);
        registers.add(r#"<reg name="pc" bitsize="64" regnum="64"/><reg name="cr" bitsize="32"/>"#);
        registers
            .add(r#"<reg name="srr0" bitsize="64"group="spr"/><reg name="srr1" bitsize="64"group="spr"/>"#);
        assert_eq!(registers.find("r1"), Some(Register { number: 1, bytes: 8 }));
        assert_eq!(registers.find("pc"), Some(Register { number: 64, bytes: 8 }));
        assert_eq!(registers.find("cr"), Some(Register { number: 65, bytes: 4 }));
        assert_eq!(registers.find("srr1"), Some(Register { number: 67, bytes: 8 }));
        assert_eq!(registers.find("srr2"), None);
    }

    #[test]
    fn a_union_type_is_not_a_register() {
        let mut registers = Registers::default();
        registers.add(r#"<vector id="v4f" count="4"/><reg-like name="x"/><reg name="vr0" bitsize="128"/>"#);
        assert_eq!(registers.find("vr0"), Some(Register { number: 0, bytes: 16 }));
        assert_eq!(registers.find("x"), None);
    }

    #[test]
    fn a_register_is_found_by_the_name_of_either_qemu() {
        let (mut old, mut new) = (Registers::default(), Registers::default());
        old.add(r#"<reg name="pid" bitsize="64" group="spr"/><reg name="ctr" bitsize="64"/>"#);
        new.add(r#"<reg name="ctrl" bitsize="64" regnum="7"/><reg name="pidr" bitsize="64" regnum="182"/>"#);
        assert_eq!(old.find("pid"), Some(Register { number: 0, bytes: 8 }));
        assert_eq!(new.find("pid"), Some(Register { number: 182, bytes: 8 }));
        assert_eq!((old.find("spr_ctrl"), new.find("ctr")), (None, None));
        assert_eq!(new.find("spr_ctrl"), Some(Register { number: 7, bytes: 8 }));
    }

    #[test]
    fn includes_are_listed_in_order() {
        let xml = r#"<target><xi:include href="a.xml"/><xi:include href="b.xml"/></target>"#;
        assert_eq!(included(xml), ["a.xml", "b.xml"]);
    }
}
