//! Buffers that were not given back keep their memory, because the device may still use it.

use super::*;
use testkit::freed::Watch;
use testkit::unchecked::LetGo;

const LEN: usize = 4096;

fn lent(dma: &Dma<Model>) -> (Mapping, Watch) {
    let buffer = vec![0; LEN];
    let watch = Watch::of(buffer.as_ptr());
    (dma.map_from_device(buffer).unwrap(), watch)
}

#[test]
fn a_mapping_that_is_dropped_keeps_its_buffer_from_use() {
    case!("LIF-06", Quarantine);
    for combination in Combination::ALL {
        let dma = combination.model().dma(combination.access_platform);
        let (mapping, buffer) = lent(&dma);
        drop(mapping);
        assert!(!buffer.freed(), "{combination:?}");
        let mut place = Some(lent(&dma).0);
        let (newer, buffer) = lent(&dma);
        place.replace(newer).map(drop).unwrap();
        drop(place);
        drop(dma);
        assert!(!buffer.freed(), "{combination:?}");
    }
}

#[test]
fn a_buffer_in_quarantine_serves_again_only_after_a_reset() {
    case!("RNG-20", Quarantine);
    for access_platform in [false, true] {
        let dma = Model::new(false).dma(access_platform);
        let (mapping, buffer) = lent(&dma);
        dma.quarantine(mapping);
        assert!(!buffer.freed(), "{access_platform}");
        dma.reset_confirmed();
        assert!(buffer.freed(), "{access_platform}");
        let (mapping, never_reset) = lent(&dma);
        dma.quarantine(mapping);
        drop(dma);
        assert!(!never_reset.freed(), "{access_platform}");
    }
}

/// The checks of the tests above and below can fail: they find a mapping, a quarantine and coherent memory that free
/// memory which a device may still use.
#[test]
fn memory_that_is_freed_while_a_device_may_use_it_is_found() {
    for combination in Combination::ALL {
        let dma = combination.model().dma(combination.access_platform);
        let (mapping, buffer) = lent(&dma);
        assert!(!buffer.freed(), "{combination:?}");
        drop(dma.unmapped(mapping));
        assert!(buffer.freed(), "{combination:?}");
    }
    let model = Model::new(false);
    let dma = model.dma(false);
    let (mapping, buffer) = lent(&dma);
    // A quarantine that ends with its request, without a confirmed reset.
    drop(dma.unmapped(mapping));
    assert!(buffer.freed());
    let coherent = dma.coherent(LEN).unwrap();
    assert_eq!(model.pieces_allocated(), 1);
    dma.released(coherent);
    assert_eq!(model.pieces_allocated(), 0);
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
    assert_eq!(model.pieces_allocated(), 1, "a device may still use memory that was not released");
}
