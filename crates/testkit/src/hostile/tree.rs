//! Trees and command lines of any bytes.

use crate::unchecked::memory_map;
use alloc::string::ToString;
use papr::addr::{FRAME_SIZE, Gpa, GpaRange};
use postern_core::cmdline::{MAX_POOL, parse};
use pseries_tree::guard::{Tree, private_copy};
use pseries_tree::{Machine, early};
use svm_dma::memory_map::{Kind, Own};

/// Reads a tree, as the boot stage and the kernel do, and places heap and pool on the machine that it
/// describes.
pub fn tree(bytes: &[u8]) {
    if let Ok(copy) = private_copy(bytes) {
        // The copy is a tree exactly if the original is.
        assert_eq!(Tree::check(bytes).is_ok(), Tree::check(&copy).is_ok());
    }
    let Ok(tree) = Tree::check(bytes) else { return };
    let _ = (early::bootargs(&tree), early::esm_base(&tree));
    let machine = match Machine::read(&tree) {
        Ok(machine) => machine,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let image = GpaRange { start: Gpa(0x40_0000), len: 0x20_0000 };
    let buffer = GpaRange { start: Gpa(0x58_0000), len: 0x4_0000 };
    let tree = GpaRange { start: Gpa(0x100_0000), len: bytes.len() as u64 };
    for secure in [false, true] {
        let own = Own { image, tree_buffer: buffer, tree };
        let Ok(mut map) = memory_map(&machine, &own, secure) else { continue };
        let Ok(pool) = map.take(Kind::Pool, 1 << 20) else { continue };
        let Ok(heap) = map.take(Kind::Heap, machine.memory_bytes() / 8) else { continue };
        let [pool, heap] = [pool, heap].map(|frames| frames.range());
        assert!(pool.start.0.is_multiple_of(FRAME_SIZE as u64));
        for range in [heap, pool] {
            assert!(machine.memory.iter().any(|ram| ram.contains(range.start, range.len)));
            assert!(!range.overlaps(&image) && !range.overlaps(&tree));
            assert!(machine.reserved.iter().all(|reserved| !reserved.overlaps(&range)));
        }
        assert!(!pool.overlaps(&heap));
    }
}

/// Reads a command line.
pub fn cmdline(bytes: &[u8]) {
    let parsed = parse(bytes);
    for error in &parsed.errors {
        let shown = error.to_string();
        assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && shown.len() < 1024, "{shown}");
    }
    let pool = parsed.options.pool;
    assert!(pool.is_multiple_of(FRAME_SIZE as u64) && (1..=MAX_POOL).contains(&pool));
    assert!(!parsed.options.run.is_empty());
}
