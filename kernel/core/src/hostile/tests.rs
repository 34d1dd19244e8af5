//! Random hosts, a bounded number of each. The fuzz targets give the same functions more time.

use super::{blk, calls, cmdline, frames, net, pci, ring, tree};
use crate::fdt::fixtures::POWER9_256M;
use proptest::prelude::*;
use std::vec::Vec;

/// Decisions for a host.
fn script(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

fn hosts(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(hosts(600))]

    #[test]
    fn no_disk_breaks_a_rule(bytes in script(800)) {
        blk(&bytes);
    }

    #[test]
    fn no_card_breaks_a_rule(bytes in script(800)) {
        net(&bytes);
    }

    #[test]
    fn no_caller_s_answer_breaks_a_rule(bytes in script(200)) {
        calls(&bytes);
    }

    #[test]
    fn no_wire_breaks_a_rule(bytes in script(600)) {
        frames(&bytes);
    }
}

proptest! {
    #![proptest_config(hosts(1000))]

    #[test]
    fn no_ring_breaks_a_rule(bytes in script(300)) {
        ring(&bytes);
    }

    #[test]
    fn no_config_space_breaks_a_rule(bytes in script(400)) {
        pci(&bytes);
    }

    #[test]
    fn no_command_line_breaks_a_rule(bytes in script(300)) {
        cmdline(&bytes);
    }

    #[test]
    fn no_tree_breaks_a_rule(at in proptest::collection::vec((0..POWER9_256M.len(), any::<u8>()), 0..6)) {
        let mut blob = POWER9_256M.to_vec();
        for (at, byte) in at {
            blob[at] = byte;
        }
        tree(&blob);
    }
}
