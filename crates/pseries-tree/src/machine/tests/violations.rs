//! Other violations of a tree; and no mutant makes the reader panic.

use super::{cells, faults, machine, memory, read, small, with};
use crate::guard::{Tree, private_copy};
use crate::machine::{Machine, MachineError};
use crate::warnings::Fault;
use postern_cases::case;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use std::string::ToString;
use std::vec;
use std::vec::Vec;
use testkit::trees::{Builder, POWER9_256M, POWER9_512M_INITRD, REAL};

#[test]
fn dt_10_without_chosen_the_first_terminal_and_no_arguments() {
    case!("DT-10", Fallback);
    let blob = small(|tree| {
        let tree = memory(tree, "memory", &[0, 0, 0, 0x1000_0000]);
        let tree = tree.node("vdevice").node("vty@30000000").prop("compatible", b"hvterm-protocol\0").end();
        let tree = tree.node("vty@30000001").prop("compatible", b"hvterm1\0").cells("reg", &[0x3000_0001]);
        tree.end().end()
    });
    let machine = machine(&blob);
    assert_eq!(machine.terminal.map(|terminal| terminal.number), Some(0x3000_0001));
    assert_eq!(machine.bootargs, b"");
}

#[test]
fn dt_10_long_arguments_are_cut_where_the_parser_refuses_them() {
    let long = vec![b'x'; 65_536];
    let blob = with(POWER9_512M_INITRD, "/chosen", "bootargs", Some(&long));
    let machine = machine(&blob);
    assert_eq!(machine.bootargs.len(), super::super::MAX_LINE + 1);
}

#[test]
fn dt_15_a_terminal_that_is_none_leaves_the_boot_without_console() {
    case!("DT-15", Fallback);
    let nowhere = with(POWER9_256M, "/chosen", "stdout-path", Some(b"/vdevice/vty@99\0"));
    let found = machine(&nowhere);
    assert_eq!(found.terminal.as_ref().map(|terminal| terminal.number), Some(0x7100_0000));
    assert_eq!(faults(&found), [Fault::Dangling("stdout-path")]);
    for reg in [&[][..], &[1, 2, 3], &[0; 8]] {
        let machine = machine(&with(POWER9_256M, "/vdevice/vty@71000000", "reg", Some(reg)));
        assert_eq!(machine.terminal, None);
        assert!(faults(&machine).contains(&Fault::Missing("hvterm1")));
    }
}

#[test]
fn a_machine_needs_a_processor_with_a_clock() {
    let cpu = "/cpus/PowerPC,POWER9@0";
    let timebase = |value| read(&with(POWER9_256M, cpu, "timebase-frequency", value));
    assert_eq!(timebase(None), Err(MachineError::NoTimebase));
    assert_eq!(timebase(Some(&[0; 4])), Err(MachineError::NoTimebase));
    assert_eq!(timebase(Some(&[0; 5])), Err(MachineError::NoTimebase));
    assert_eq!(timebase(Some(&cells(&[1, 0]))).unwrap().cpus.timebase_hz, 1 << 32);
    assert_eq!(read(&with(POWER9_256M, cpu, "device_type", Some(b"gpu\0"))), Err(MachineError::NoCpu));
    let found = machine(&with(POWER9_256M, cpu, "ibm,ppc-interrupt-server#s", Some(&cells(&[8]))));
    assert_eq!((found.cpus.boot_server, faults(&found)), (8, vec![Fault::Dangling("boot_cpuid_phys")]));
}

#[test]
fn dt_19_a_clock_by_which_no_wait_would_end_or_each_at_once_ends_the_boot() {
    case!("DT-19", Halt);
    let cpu = "/cpus/PowerPC,POWER9@0";
    for hz in [1, 999_999, 10_000_000_001, 1 << 63, u64::MAX] {
        let value = u64::to_be_bytes(hz);
        let found = read(&with(POWER9_256M, cpu, "timebase-frequency", Some(&value)));
        assert_eq!(found, Err(MachineError::Timebase(hz)));
    }
}

#[test]
fn texts_of_the_tree_cannot_disturb_a_terminal() {
    let odd = [b"\x1b[2J".as_slice(), &[b'x'; 100], b"\0"].concat();
    let model = machine(&with(POWER9_256M, "", "model", Some(&odd))).model;
    assert_eq!(model.to_string(), std::format!("\\x1b[2J{}...", "x".repeat(60)));
    let blob = small(|tree| memory(memory(tree, "memory@0", &[0, 0, 0, 1]), "memory@\u{1b}", &[0, 0, 0, 0]));
    let warning = machine(&blob).warnings.list()[0].to_string();
    assert_eq!(warning, "device tree: memory@\\x1b: range of no bytes");
}

#[test]
fn warnings_are_bounded() {
    let blob = small(|tree| {
        (0..50).fold(memory(tree, "memory", &[0, 0, 0, 4096]), |tree, _| memory(tree, "m", &[]))
    });
    let warnings = machine(&blob).warnings;
    // One for each of the odd nodes, and that there is neither RTAS nor a terminal.
    assert_eq!(warnings.list().len() + warnings.left_out(), 52);
    assert_eq!(warnings.list().len(), 32);
}

/// Another value for a property: cut, longer, or with other words.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![any::<u32>(), 0_u32..6, Just(u32::MAX), Just(0x8000_0000), Just(0xffff_f000)];
    prop_oneof![
        proptest::collection::vec(word, 0..9).prop_map(|words| cells(&words)),
        proptest::collection::vec(any::<u8>(), 0..30),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn trees_with_other_values_never_panic(which in 0..REAL.len(), one_in in 1_u32..40, seed in any::<u32>(), new in value()) {
        let mut turn = seed;
        let blob = Builder::edited(REAL[which], |_, _, old| {
            turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let change = (turn >> 8) % one_in == 0 && !(old.len() == 4 && new.len() != 4);
            Some(if change { new.clone() } else { old.to_vec() })
        });
        if let Ok(machine) = Tree::check(&blob).map(|tree| Machine::read(&tree)).unwrap_or(Err(MachineError::NoCpu)) {
            assert!(machine.memory.windows(2).all(|pair| pair[0].end() < pair[1].start));
            assert!(machine.bridges.iter().all(|bridge| bridge.dma.size() >= 4096));
        }
    }

    #[test]
    fn mutants_of_real_trees_never_panic(
        which in 0..REAL.len(), changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)
    ) {
        let mut blob = REAL[which].to_vec();
        for (place, byte) in changes {
            let at = usize::from(place) * blob.len() / 0x1_0000;
            blob[at] = byte;
        }
        if let Ok(copy) = private_copy(&blob)
            && let Ok(tree) = Tree::check(&copy)
        {
            let _ = Machine::read(&tree);
        }
    }
}
