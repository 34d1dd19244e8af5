//! Buffers that nobody gave back keep their memory: a device that uses them in place may still do so.

use super::*;
use std::ptr;

const LEN: usize = 4096;

/// Whether memory at `at` is given to somebody else now.
fn serves_again(at: *const u8) -> bool {
    let others: Vec<Vec<u8>> = (0..64).map(|_| vec![0; LEN]).collect();
    others.iter().any(|other| ptr::eq(other.as_ptr(), at))
}

fn lent(dma: &Dma<Model>) -> (Mapping, *const u8) {
    let buffer = vec![0; LEN];
    let at = buffer.as_ptr();
    (dma.map_from_device(buffer).unwrap(), at)
}

#[test]
fn a_mapping_that_is_dropped_keeps_its_buffer_from_use() {
    case!("LIF-06", Quarantine);
    for cell in Cell::ALL {
        let dma = cell.model().dma(cell.access_platform);
        let (mapping, at) = lent(&dma);
        drop(mapping);
        assert!(!serves_again(at), "{cell:?}");
        let mut place = Some(lent(&dma).0);
        let (newer, at) = lent(&dma);
        place.replace(newer).map(drop).unwrap();
        drop(place);
        drop(dma);
        assert!(!serves_again(at), "{cell:?}");
    }
}

#[test]
fn a_buffer_in_quarantine_serves_again_only_after_a_reset() {
    case!("RNG-20", Quarantine);
    for access_platform in [false, true] {
        let dma = Model::new(false).dma(access_platform);
        let (mapping, at) = lent(&dma);
        dma.quarantine(mapping);
        assert!(!serves_again(at), "{access_platform}");
        dma.reset_confirmed();
        let (mapping, never_reset) = lent(&dma);
        dma.quarantine(mapping);
        drop(dma);
        assert!(!serves_again(never_reset), "{access_platform}");
    }
}

#[test]
fn memory_of_a_normal_guest_goes_back_with_its_last_handle() {
    let model = Model::new(false);
    let dma = model.dma(false);
    let coherent = dma.coherent(LEN).unwrap();
    let handle = coherent.memory().part(8, 8).unwrap();
    dma.released(coherent);
    assert_eq!(model.pieces_allocated(), 1, "a handle is left that could be used");
    handle.store16(0, 1);
    drop(handle);
    assert_eq!(model.pieces_allocated(), 0);
    drop(dma.coherent(LEN).unwrap());
    assert_eq!(model.pieces_allocated(), 1, "what nobody gave back, a device may use");
}
