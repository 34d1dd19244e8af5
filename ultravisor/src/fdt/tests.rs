use super::*;

/// Builds trees for tests.
#[derive(Default)]
pub(crate) struct Builder {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn put(&mut self, bytes: &[u8]) {
        self.structure.extend_from_slice(bytes);
        self.structure.resize(self.structure.len().next_multiple_of(4), 0);
    }

    pub(crate) fn begin(mut self, name: &str) -> Self {
        self.put(&BEGIN_NODE.to_be_bytes());
        self.put(&[name.as_bytes(), &[0]].concat());
        self
    }

    pub(crate) fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.put(&PROPERTY.to_be_bytes());
        self.put(&(value.len() as u32).to_be_bytes());
        self.put(&(self.strings.len() as u32).to_be_bytes());
        self.put(value);
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        self
    }

    pub(crate) fn cells(self, name: &str, cells: &[u32]) -> Self {
        let value: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.bytes(name, &value)
    }

    pub(crate) fn nop(mut self) -> Self {
        self.put(&NOP.to_be_bytes());
        self
    }

    pub(crate) fn end(mut self) -> Self {
        self.put(&END_NODE.to_be_bytes());
        self
    }

    pub(crate) fn finish(mut self, reserved: &[(u64, u64)]) -> Vec<u8> {
        self.put(&END.to_be_bytes());
        let fdt = Fdt {
            reserved: reserved.to_vec(),
            boot_cpu: 0,
            root: Node::default(),
            structure: self.structure,
            strings: self.strings,
            root_end: 0,
        };
        fdt.pack()
    }
}

fn small() -> Vec<u8> {
    Builder::default()
        .begin("")
        .cells("#address-cells", &[2])
        .begin("chosen")
        .bytes("bootargs", b"svm=on\0")
        .end()
        .nop()
        .begin("rtas")
        .cells("ibm,query-interrupt-source-number", &[0x2018])
        .end()
        .nop()
        .end()
        .nop()
        .finish(&[(0x1000, 0x2000)])
}

#[test]
fn a_tree_is_read() {
    let fdt = Fdt::parse(&small()).expect("tree");
    assert_eq!(fdt.reserved, [(0x1000, 0x2000)]);
    assert_eq!(fdt.root.cell("#address-cells"), Some(2));
    assert_eq!(fdt.node("/chosen").and_then(|node| node.text("bootargs")), Some(b"svm=on".as_slice()));
    let rtas = fdt.node("/rtas").expect("rtas");
    assert_eq!(rtas.number("ibm,query-interrupt-source-number"), Some(0x2018));
    assert_eq!(fdt.node("/nothing"), None);
}

#[test]
fn packing_keeps_everything_and_drops_gaps() {
    let mut loose = small();
    let total = u32::try_from(loose.len() + 0x100).expect("size");
    loose[4..8].copy_from_slice(&total.to_be_bytes());
    loose.resize(loose.len() + 0x100, 0);
    let fdt = Fdt::parse(&loose).expect("tree");
    assert_eq!(fdt.pack(), small());
}

/// As Linux hands its tree over: version 16, strings before the structure.
#[test]
fn version_16_has_no_size_of_its_structure() {
    let new = small();
    let word = |at: usize| u32::from_be_bytes(new[at..at + 4].try_into().expect("word"));
    let (structure, strings) = (word(8) as usize, word(12) as usize);
    let moved = 40 + 32 + (new.len() - strings).next_multiple_of(4);
    let mut old = new[..structure].to_vec();
    old.extend_from_slice(&new[strings..]);
    old.resize(moved, 0);
    old.extend_from_slice(&new[structure..strings]);
    for (at, value) in
        [(4, old.len() as u32 + 8), (8, moved as u32), (12, structure as u32), (20, 16), (36, 0)]
    {
        old[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    old.resize(old.len() + 8, 0xff);
    assert_eq!(Fdt::parse(&old).expect("tree").pack(), new);
    old[20..24].copy_from_slice(&15u32.to_be_bytes());
    assert_eq!(Fdt::parse(&old), Err(FdtError::Version(15)));
}

#[test]
fn an_added_node_is_the_last_below_the_root() {
    let mut fdt = Fdt::parse(&small()).expect("tree");
    fdt.add_root_child("ibm,ultravisor", &[("compatible", b"ibm,ultravisor\0")]);
    let again = Fdt::parse(&fdt.pack()).expect("tree after the edit");
    let names: Vec<&str> = again.root.children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["chosen", "rtas", "ibm,ultravisor"]);
    let node = again.node("/ibm,ultravisor").expect("node");
    assert_eq!(node.text("compatible"), Some(b"ibm,ultravisor".as_slice()));
    assert_eq!(again.reserved, [(0x1000, 0x2000)]);
}

#[test]
fn added_reservations_come_after_those_that_were_there() {
    let mut fdt = Fdt::parse(&small()).expect("tree");
    fdt.reserved.push((0xffff_0000, 0x10000));
    let again = Fdt::parse(&fdt.pack()).expect("tree after the edit");
    assert_eq!(again.reserved, [(0x1000, 0x2000), (0xffff_0000, 0x10000)]);
    assert_eq!(again.root, fdt.root);
}

#[test]
fn no_damaged_tree_is_a_panic() {
    let good = small();
    for position in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[position] ^= flip;
            if let Ok(mut fdt) = Fdt::parse(&bad) {
                fdt.add_root_child("x", &[("y", b"z")]);
                let _ = fdt.pack();
            }
        }
        assert!(Fdt::parse(&good[..position]).is_err());
    }
    assert_eq!(Fdt::parse(&[0; 64]), Err(FdtError::Magic(0)));
}
