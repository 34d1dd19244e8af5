//! Slots that are kept for the next buffer of the same length.

use super::*;

const LEN: usize = 1526;

/// Lends a buffer of `len` bytes in `place`, as for receiving.
fn lend(dma: &Dma<Model>, place: &mut Option<Mapping>, len: usize) -> u64 {
    dma.map_again_at(place, &mut vec![0xee; len], len).unwrap();
    let [segment] = place.as_ref().unwrap().segments() else { panic!("{place:?}") };
    assert_eq!(segment.len as usize, len);
    segment.bus.raw()
}

fn slots_in_use(system: &svm_dma::dma::DmaSystem<Model>) -> u64 {
    system.pool_statistics().unwrap().slots_in_use
}

#[test]
fn a_kept_slot_is_cleared_lent_again_and_freed_with_its_last_buffer() {
    let model = Model::new(true);
    let system = model.dma_system(2);
    let dma = system.device(DeviceId::from_routing(0, 8), false, None).unwrap();
    let (device, data) = (model.device(false), bytes(LEN));
    let mut place = None;
    let at = lend(&dma, &mut place, LEN);
    for written in [LEN, 100, 0, 128, LEN - 1] {
        device_writes(&device, place.as_ref().unwrap(), &data);
        let buffer = dma.finished_keeping(&mut place, written);
        // The first `written` bytes come back; the rest of the buffer is unchanged.
        assert_eq!(buffer[..written], data[..written]);
        assert_eq!(buffer[written..], vec![0xee; LEN - written]);
        assert!(pool_is_zero(&model), "{written}");
        assert_eq!(slots_in_use(&system), 1);
        assert_eq!(lend(&dma, &mut place, LEN), at);
    }
    assert_eq!(dma.finished(place.take().unwrap(), 0).len(), LEN);
    assert_eq!(slots_in_use(&system), 0);
}

#[test]
fn a_kept_slot_is_freed_when_no_buffer_or_one_of_another_length_follows() {
    let model = Model::new(true);
    let system = model.dma_system(2);
    let dma = system.device(DeviceId::from_routing(0, 8), false, None).unwrap();
    let mut place = None;
    for len in [LEN, 100, LEN, FRAME_SIZE, 4096] {
        lend(&dma, &mut place, len);
        assert_eq!((slots_in_use(&system), dma.finished_keeping(&mut place, len).len()), (1, len));
    }
    // The slot has no buffer now, so that none comes back a second time.
    assert_eq!(dma.finished_keeping(&mut place, 4096), []);
    assert!(place.is_none());
    assert_eq!(slots_in_use(&system), 0);
}

#[test]
fn a_place_whose_buffer_the_device_still_has_gets_another_slot() {
    let model = Model::new(true);
    let system = model.dma_system(2);
    let dma = system.device(DeviceId::from_routing(0, 8), false, None).unwrap();
    let mut place = None;
    let first = lend(&dma, &mut place, LEN);
    let second = lend(&dma, &mut place, LEN);
    assert_ne!(first, second);
    // The first is kept from use for ever, as with any mapping that is dropped.
    assert_eq!(slots_in_use(&system), 2);
}

#[test]
fn another_device_neither_uses_nor_frees_a_kept_slot() {
    let model = Model::new(true);
    let system = model.dma_system(2);
    let of = |number| system.device(DeviceId::from_routing(0, number), false, None).unwrap();
    let (dma, other) = (of(8), of(16));
    let mut place = None;
    let at = lend(&dma, &mut place, LEN);
    assert_eq!(dma.finished_keeping(&mut place, LEN).len(), LEN);
    assert_ne!(lend(&other, &mut place, LEN), at);
    assert_eq!(slots_in_use(&system), 2);
}

#[test]
fn large_buffers_and_buffers_lent_in_place_keep_no_slot() {
    for (combination, len) in [(Combination::ALL[0], LEN), (Combination::ALL[3], FRAME_SIZE + 1)] {
        for access_platform in [false, true] {
            let model = Model::new(combination.secure || len > FRAME_SIZE);
            let dma = model.dma(access_platform);
            let mut place = None;
            for _ in 0..3 {
                dma.map_again_at(&mut place, &mut vec![0xee; len], len).unwrap();
                assert_eq!(dma.finished_keeping(&mut place, 0).len(), len);
                if len > FRAME_SIZE {
                    assert!(place.is_none() && pool_is_zero(&model));
                }
            }
        }
    }
}
