//! Trees that have a name twice: the ultravisor could measure one command line, and the kernel could follow the other.

use super::{cells, machine, memory, read, small, with};
use crate::machine::MachineError;
use postern_cases::case;
use testkit::trees::{POWER9_512M_INITRD, REAL};

#[test]
fn a_second_node_that_an_ultravisor_reads_ends_the_boot_wherever_it_stands() {
    case!("DT-21", Halt);
    for name in ["chosen", "rtas", "cpus"] {
        for twin in [name, &std::format!("{name}@"), &std::format!("{name}@0")] {
            for before in [true, false] {
                let blob = small(|tree| {
                    let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]);
                    // `small` makes the one /cpus.
                    let (one, other) = if before { (twin, name) } else { (name, twin) };
                    let tree = if name == "cpus" { tree } else { tree.node(one).end() };
                    tree.node(if name == "cpus" { twin } else { other }).end()
                });
                assert_eq!(read(&blob), Err(MachineError::SeveralNodes(name)), "{twin}");
            }
        }
    }
}

#[test]
fn a_name_that_only_begins_like_one_of_them_is_another_node() {
    let blob = small(|tree| {
        let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).node("chosen").end();
        tree.node("chosen2").end().node("rtas").end().node("rtas-events").end()
    });
    assert!(read(&blob).is_ok());
}

#[test]
fn a_second_command_line_or_initrd_ends_the_boot() {
    case!("DT-21", Halt);
    for (name, value) in [
        ("bootargs", &b"report=full\0"[..]),
        ("linux,initrd-start", &[0, 0x40, 0, 0]),
        ("linux,initrd-end", &[0, 0x50, 0, 0]),
    ] {
        let blob = small(|tree| {
            let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).node("chosen");
            tree.prop(name, value).prop("stdout-path", b"/vdevice\0").prop(name, value).end()
        });
        assert_eq!(read(&blob), Err(MachineError::SeveralProperties(name)));
    }
}

#[test]
fn no_real_tree_has_twins() {
    for blob in REAL {
        assert!(read(blob).is_ok());
    }
    let found = machine(&with(POWER9_512M_INITRD, "/chosen", "linux,initrd-end", Some(&cells(&[0x1000]))));
    assert_eq!(found.initrd, None);
}
