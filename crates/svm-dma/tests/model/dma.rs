//! The four combinations of mode and translation, and devices that do more than they were asked to.

mod again;
mod kept;
mod late;
mod reach;

use papr::addr::FRAME_SIZE;
use papr::platform::{DeviceMemory, Platform};
use papr::ultracall::Ultracall;
use postern_cases::case;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;
use svm_dma::dma::{DeviceId, Dma, DmaError, Mapping, Unmapped};
use svm_dma::tce::{DmaWindow, WindowKind};
use testkit::model::{Combination, Model, ModelDevice, POOL_BASE, Refused};
use testkit::unchecked::{LetGo, bus_addr};

const POOL_BYTES: usize = 32 * FRAME_SIZE;

fn secure() -> (Model, Dma<Model>, ModelDevice) {
    let model = Model::new(true);
    (model.clone(), model.dma(true), model.device(true))
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 + 1).collect()
}

/// What a device that follows the segments reads.
fn device_reads(device: &ModelDevice, mapping: &Mapping) -> Vec<u8> {
    let segments = mapping.segments().iter();
    segments.flat_map(|part| device.read(part.bus.raw(), part.len as usize).unwrap()).collect()
}

/// Lets a device that follows the segments write `data`.
fn device_writes(device: &ModelDevice, mapping: &Mapping, data: &[u8]) {
    let mut data = data;
    for part in mapping.segments() {
        let (now, later) = data.split_at(data.len().min(part.len as usize));
        device.write(part.bus.raw(), now).unwrap();
        data = later;
    }
    assert!(data.is_empty());
}

fn pool_is_zero(model: &Model) -> bool {
    model.peek(POOL_BASE, POOL_BYTES).iter().all(|byte| *byte == 0)
}

#[test]
fn driver_and_device_see_the_same_bytes_in_all_four_combinations() {
    for combination in Combination::ALL {
        for dynamic in [false, true] {
            let model = combination.model();
            if dynamic {
                model.offer_dynamic_windows();
            }
            let dma = model.dma(combination.access_platform);
            let device = model.device(combination.access_platform);
            assert_eq!((dma.bounced(), dma.translated()), (combination.secure, combination.access_platform));
            for len in [1, 511, 512, 513, 4096, 5000, FRAME_SIZE, FRAME_SIZE + 1, 1 << 20] {
                let data = bytes(len);
                let mapping = dma.map_to_device(data.clone()).unwrap();
                assert_eq!(mapping.len(), len);
                for part in mapping.segments() {
                    assert!(dma.guard().allows(part.bus, part.len.into()), "{combination:?} {part:?}");
                }
                assert_eq!(device_reads(&device, &mapping), data, "{combination:?} {len}");
                assert_eq!(dma.unmapped(mapping), data, "{combination:?} {len}");

                let mapping = dma.map_from_device(vec![0xee; len]).unwrap();
                device_writes(&device, &mapping, &data);
                assert_eq!(dma.finished(mapping, len), data, "{combination:?} {len}");
            }
            assert_eq!(model.refused(), [], "{combination:?}");
            assert!(pool_is_zero(&model), "{combination:?}");
        }
    }
}

#[test]
fn coherent_memory_is_seen_by_both_sides_zeroed_and_aligned_in_all_four_combinations() {
    for combination in Combination::ALL {
        let model = combination.model();
        let dma = model.dma(combination.access_platform);
        let device = model.device(combination.access_platform);
        for (len, align) in [(16, 16), (100, 128), (4096, 4096), (4097, 4096), (FRAME_SIZE, 4096)] {
            let coherent = dma.coherent(len).unwrap();
            assert_eq!(coherent.memory().len(), len);
            assert_eq!(coherent.bus.raw() % align, 0);
            assert_eq!(device.read(coherent.bus.raw(), len).unwrap(), vec![0; len]);
            device.write(coherent.bus.raw(), &[1, 2]).unwrap();
            assert_eq!(coherent.memory().load16(0), 0x201);
            coherent.memory().store16(2, 0x403);
            assert_eq!(device.read16(coherent.bus.raw() + 2).unwrap(), 0x403);
            dma.released(coherent);
        }
        assert!(pool_is_zero(&model));
        assert_eq!(model.pieces_allocated(), 0);
        if combination.secure {
            let max = FRAME_SIZE;
            assert_eq!(dma.coherent(max + 1).unwrap_err(), DmaError::TooLong { len: max + 1, max });
        }
    }
}

#[test]
fn coherent_memory_starts_from_zeros_although_the_host_wrote_to_the_free_pool() {
    let (model, dma, _) = secure();
    model.poke(POOL_BASE, &vec![0xa5; POOL_BYTES]);
    let coherent = dma.coherent(2000).unwrap();
    let mut seen = vec![1; 2000];
    coherent.memory().read(0, &mut seen);
    assert_eq!(seen, vec![0; 2000]);
}

#[test]
fn a_normal_guest_copies_nothing_and_lends_the_buffer_itself() {
    let model = Model::new(false);
    let dma = model.dma(false);
    let data = bytes(10_000);
    let at = data.as_ptr();
    let mapping = dma.map_to_device(data).unwrap();
    let [segment] = mapping.segments() else { panic!("{mapping:?}") };
    let bus = segment.bus.raw();
    let mut data = dma.unmapped(mapping);
    assert_eq!((data.as_ptr(), model.gpa_of(&mut data).0), (at, bus));
    assert_eq!(dma.counts(), svm_dma::dma::ByteCounts::default());
}

#[test]
fn bytes_copied_are_counted_by_direction_and_only_those() {
    let model = Model::new(true);
    let system = model.dma_system(2);
    let dma = system.device(DeviceId::from_routing(0, 8), false, None).unwrap();
    let idle = system.device(DeviceId::from_routing(0, 16), false, None).unwrap();
    let mapping = dma.map_to_device(vec![1; 700]).unwrap();
    dma.unmapped(mapping);
    let mapping = dma.map_from_device(vec![0; 900]).unwrap();
    let _ = dma.finished(mapping, 333);
    let expected = svm_dma::dma::ByteCounts { to_pool: 700, from_pool: 333 };
    assert_eq!((system.counts(), dma.counts()), (expected, expected));
    assert_eq!(idle.counts(), svm_dma::dma::ByteCounts::default());
}

#[test]
fn the_pool_holds_the_payload_and_not_one_private_byte_beside_it() {
    case!("UV-11", Ignore);
    let (model, dma, _) = secure();
    let mut private = vec![0xc3; 9000];
    let mut place = None;
    dma.map_at(&mut place, &mut private, 4321, false).unwrap();
    let mapping = place.unwrap();
    let pool = model.peek(POOL_BASE, POOL_BYTES);
    assert_eq!(pool.iter().filter(|byte| **byte == 0xc3).count(), 4321);
    assert_eq!(pool.iter().filter(|byte| **byte != 0).count(), 4321);
    assert_eq!(dma.unmapped(mapping).len(), 9000);
    assert!(pool_is_zero(&model));
}

#[test]
fn a_device_that_writes_nothing_hands_out_zeros_not_an_earlier_request_s_data() {
    case!("BLK-10", Ignore);
    case!("UV-14", Ignore);
    let (_, dma, device) = secure();
    let secret = dma.map_to_device(vec![0x5e; 4096]).unwrap();
    let at = secret.segments()[0].bus;
    dma.unmapped(secret);
    let mapping = dma.map_from_device(vec![0xff; 4096]).unwrap();
    assert_eq!(mapping.segments()[0].bus, at, "the same slot");
    assert_eq!(device.read(at.raw(), 4096).unwrap(), vec![0; 4096]);
    assert_eq!(dma.finished(mapping, 4096), [0; 4096]);
}

#[test]
fn copying_back_never_exceeds_the_mapping() {
    case!("UV-15", Clamp);
    for combination in Combination::ALL {
        let model = combination.model();
        let dma = model.dma(combination.access_platform);
        let device = model.device(combination.access_platform);
        let mut buffer = vec![0; 600];
        let mut place = None;
        dma.map_at(&mut place, &mut buffer, 400, true).unwrap();
        let mapping = place.unwrap();
        device.write(mapping.segments()[0].bus.raw(), &[9; 400]).unwrap();
        let buffer = dma.finished(mapping, usize::MAX);
        assert_eq!(buffer[..400], [9; 400], "{combination:?}");
        assert_eq!(buffer[400..], [0; 200], "{combination:?}");
    }
}

#[test]
fn a_mapping_handed_to_another_device_s_handle_is_left_alone() {
    let model = Model::new(true);
    let system = model.dma_system(2);
    let one = system.device(DeviceId::from_routing(0, 8), false, None).unwrap();
    let two = system.device(DeviceId::from_routing(0, 16), false, None).unwrap();
    let mapping = one.map_to_device(vec![0x42; 512]).unwrap();
    assert_eq!(two.unmapped(mapping), [], "the buffer does not come back");
    let statistics = system.pool_statistics().unwrap();
    assert_eq!((statistics.bytes_in_use, statistics.mistakes), (512, 0));
}

#[test]
fn the_pool_is_shared_once_and_never_taken_back() {
    case!("UV-07", Ignore);
    let (model, dma, device) = secure();
    for n in 1..50 {
        let mapping = dma.map_from_device(vec![n; 5000]).unwrap();
        device_writes(&device, &mapping, &[n; 5000]);
        if n % 2 == 0 {
            dma.unmapped(mapping);
        } else {
            dma.quarantine(mapping);
        }
    }
    dma.reset_confirmed();
    drop(dma);
    let calls = model.ultracalls();
    assert!(matches!(calls[..], [(Ultracall::SharePage, _)]), "{calls:?}");
}

#[test]
fn finish_copies_back_the_written_bytes_and_clears_the_slots() {
    case!("UV-15", Clamp);
    for combination in Combination::ALL {
        for len in [1, 513, 4096, FRAME_SIZE, 2 * FRAME_SIZE + 100] {
            for written in [0, 1, len / 2, len, usize::MAX] {
                let model = combination.model();
                let dma = model.dma(combination.access_platform);
                let device = model.device(combination.access_platform);
                let mut buffer = vec![0; len + 8];
                let mut place = None;
                dma.map_at(&mut place, &mut buffer, len, true).unwrap();
                let mapping = place.unwrap();
                device_writes(&device, &mapping, &bytes(len));
                let buffer = dma.finished(mapping, written);
                // In place, all bytes that the device wrote are in the buffer.
                let brought = if combination.secure { written.min(len) } else { len };
                assert_eq!(buffer[..brought], bytes(len)[..brought], "{combination:?}, {written} of {len}");
                assert!(
                    buffer[brought..].iter().all(|byte| *byte == 0),
                    "{combination:?}, {written} of {len}"
                );
                assert!(!combination.secure || pool_is_zero(&model), "{combination:?}, {written} of {len}");
            }
        }
    }
    let (model, dma, _) = secure();
    let mapping = dma.map_to_device(vec![7; 600]).unwrap();
    let slots = model.peek(POOL_BASE, POOL_BYTES);
    let filled: Vec<u8> = slots.iter().map(|byte| byte ^ 0x55).collect();
    model.poke(POOL_BASE, &filled);
    let unchanged = dma.finished(mapping, 600);
    model.poke(POOL_BASE, &vec![0; POOL_BYTES]);
    assert_eq!(unchanged, [7; 600], "what the device only reads is never copied back");
    assert!(pool_is_zero(&model));
}

#[test]
fn exhaustion_is_an_error_and_released_slots_are_used_again() {
    case!("UV-13", Fail);
    let (_, dma, _) = secure();
    let all = dma.map_to_device(vec![1; POOL_BYTES]).unwrap();
    assert_eq!(all.segments().len(), 32);
    let Err(Unmapped { error: DmaError::Pool(exhausted), buffer }) = dma.map_to_device(vec![1]) else {
        panic!()
    };
    assert_eq!((exhausted.want, exhausted.free, &buffer[..]), (1, 0, &[1][..]));
    assert!(matches!(dma.coherent(16), Err(DmaError::Pool(_))));
    dma.unmapped(all);
    let small = dma.map_to_device(vec![1]).unwrap();
    dma.unmapped(small);
    assert_eq!(dma.map_to_device(Vec::new()).unwrap_err().error, DmaError::Empty);
}

#[test]
fn noise_over_the_whole_pool_does_not_change_the_allocator() {
    let model = Model::new(true);
    let system = model.dma_system(1);
    let dma = system.device(DeviceId::from_routing(0, 8), false, None).unwrap();
    let mut held = Vec::new();
    for len in [1, 600, 3000, 5000, 70_000] {
        held.push(dma.map_to_device(vec![7; len]).unwrap());
        model.poke(POOL_BASE, &bytes(POOL_BYTES));
    }
    let in_use = system.pool_statistics().unwrap().bytes_in_use;
    assert_eq!(in_use, 512 + 2048 + 4096 + 16384 + 65536 + 16384);
    held.into_iter().for_each(|mapping| drop(dma.unmapped(mapping)));
    let statistics = system.pool_statistics().unwrap();
    assert_eq!((statistics.frames_free, statistics.mistakes), (32, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_mix_of_requests_carries_the_right_bytes_and_leaves_nothing_behind(
        combination in prop::sample::select(Combination::ALL.to_vec()),
        requests in prop::collection::vec((1..40_000usize, any::<bool>(), 0..6usize), 1..24),
    ) {
        let model = combination.model();
        let dma = model.dma(combination.access_platform);
        let device = model.device(combination.access_platform);
        let mut held: Vec<(Mapping, Vec<u8>)> = Vec::new();
        for (len, device_is_writer, finish) in requests {
            let buffer = bytes(len);
            let mapping = if device_is_writer {
                dma.map_from_device(buffer.clone())
            } else {
                dma.map_to_device(buffer.clone())
            };
            if let Ok(mapping) = mapping {
                held.push((mapping, buffer));
            }
            for _ in 0..finish.min(held.len()) {
                let (mapping, buffer) = held.swap_remove(len % held.len());
                if mapping.device_writes() {
                    let answer: Vec<u8> = buffer.iter().map(|byte| byte ^ 0x5a).collect();
                    device_writes(&device, &mapping, &answer);
                    prop_assert_eq!(&dma.finished(mapping, buffer.len()), &answer);
                } else {
                    prop_assert_eq!(&device_reads(&device, &mapping), &buffer);
                    prop_assert_eq!(&dma.unmapped(mapping), &buffer);
                }
            }
        }
        held.into_iter().for_each(|(mapping, _)| drop(dma.unmapped(mapping)));
        prop_assert!(pool_is_zero(&model));
        if !combination.secure {
            prop_assert_eq!(model.tces(Model::LIOBN), vec![]);
        }
    }
}
