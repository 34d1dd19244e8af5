//! Properties of the pool.

use super::{Account, Pool, SizeClass, Slot};
use crate::dma::DeviceId;
use papr::addr::FRAME_SIZE;
use postern_cases::case;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

#[test]
fn an_allocation_takes_as_many_steps_in_a_full_pool_as_in_an_empty_one() {
    let mut pool = Pool::new(512);
    let account = pool.register(DeviceId::from_routing(0, 8), 512);
    let mut held: Vec<Slot> = Vec::new();
    let mut most = 0;
    loop {
        let before = pool.steps();
        let Ok(slot) = pool.allocate(account, 4096) else { break };
        most = most.max(pool.steps() - before);
        held.push(slot);
    }
    assert_eq!(held.len(), 512 * 16);
    assert!(most <= 4, "{most} list operations for one slot");
    for slot in held {
        let before = pool.steps();
        assert!(pool.free(slot));
        assert!(pool.steps() - before <= 4);
    }
    assert_eq!(pool.statistics().frames_free, 512);
}

#[test]
fn the_exhaustion_error_names_the_device_its_request_and_the_free_bytes() {
    case!("UV-13", Fail);
    let mut pool = Pool::new(4);
    let account = pool.register(DeviceId::from_routing(0, 0x10), 4);
    let _held = pool.allocate_all(account, 3 * FRAME_SIZE).unwrap();
    let error = pool.allocate_all(account, 2 * FRAME_SIZE).unwrap_err();
    assert_eq!(
        (error.device, error.want, error.free),
        (DeviceId::from_routing(0, 0x10), 2 * FRAME_SIZE, FRAME_SIZE)
    );
    assert_eq!((error.held_frames, error.quota_frames), (3, 4));
    assert_eq!(
        std::string::ToString::to_string(&error),
        "pool exhausted: device 0000:00:02.0 wants 131072 bytes, 65536 bytes free, \
         the device holds 3 of its 4 frames"
    );
    assert_eq!(pool.statistics().failures, 1);
    // The request that failed half-way holds nothing.
    assert_eq!(pool.statistics().frames_free, 1);
}

#[test]
fn a_device_at_its_quota_cannot_starve_another() {
    let mut pool = Pool::new(4);
    let greedy = pool.register(DeviceId::from_routing(0, 8), 3);
    let other = pool.register(DeviceId::from_routing(0, 16), 3);
    let _held = pool.allocate_all(greedy, 3 * FRAME_SIZE).unwrap();
    assert_eq!(pool.allocate(greedy, 1).unwrap_err().free, FRAME_SIZE);
    assert!(pool.allocate(other, FRAME_SIZE).is_ok());
}

#[test]
fn a_request_takes_a_larger_free_slot_when_no_frame_is_left_for_its_own_size() {
    let mut pool = Pool::new(1);
    let account = pool.register(DeviceId::from_routing(0, 8), 1);
    let large = pool.allocate(account, 16384).unwrap();
    let small = pool.allocate(account, 100).unwrap();
    assert_eq!(small.class(), SizeClass::B16384);
    assert_ne!(small.offset(), large.offset());
    assert!(pool.free(small) && pool.free(large));
    assert_eq!(pool.statistics().frames_free, 1);
}

#[test]
fn a_handle_that_does_not_match_the_record_is_refused_and_counted() {
    let mut pool = Pool::new(2);
    let account = pool.register(DeviceId::from_routing(0, 8), 2);
    let copy = |slot: &Slot| Slot {
        frame: slot.frame,
        index: slot.index,
        class: slot.class,
        account: slot.account,
        generation: slot.generation,
    };
    let slot = pool.allocate(account, 512).unwrap();
    let _keeps_the_frame = pool.allocate(account, 512).unwrap();
    let (stale, again) = (copy(&slot), copy(&slot));
    assert!(pool.free(slot));
    assert!(!pool.free(stale), "freed twice");
    let reused = pool.allocate(account, 512).unwrap();
    assert_eq!(reused.offset(), again.offset());
    assert!(!pool.free(again), "a handle from before the slot was used again");
    let mut foreign = copy(&reused);
    foreign.account = Account(7);
    assert!(!pool.quarantine(foreign));
    assert_eq!(pool.statistics().mistakes, 3);
    assert!(pool.recognises(&reused));
}

#[test]
fn a_quarantined_slot_is_not_used_until_the_reset_of_its_own_device_is_confirmed() {
    let mut pool = Pool::new(1);
    let account = pool.register(DeviceId::from_routing(0, 8), 1);
    let other = pool.register(DeviceId::from_routing(0, 16), 1);
    let slot = pool.allocate(account, FRAME_SIZE).unwrap();
    let at = slot.offset();
    assert!(pool.quarantine(slot));
    assert_eq!(pool.statistics().bytes_quarantined, FRAME_SIZE as u64);
    assert_eq!(pool.allocate(account, 512).unwrap_err().free, 0);
    pool.confirm_reset(other, |_| panic!("another device's slot"));
    assert!(pool.allocate(other, 512).is_err());
    let mut cleared = Vec::new();
    pool.confirm_reset(account, |slot| cleared.push((slot.offset(), slot.class())));
    assert_eq!(cleared, [(at, SizeClass::B65536)]);
    assert_eq!(pool.statistics().bytes_quarantined, 0);
    assert!(pool.allocate(other, 512).is_ok());
}

#[derive(Clone, Debug)]
enum Step {
    Allocate { device: usize, len: usize },
    AllocateAll { device: usize, len: usize },
    Free(prop::sample::Index),
    Quarantine(prop::sample::Index),
    ConfirmReset(usize),
}

const DEVICES: usize = 3;
const FRAMES: u32 = 12;
const QUOTA: u32 = 5;

fn step() -> impl Strategy<Value = Step> {
    let device = 0..DEVICES;
    let len = prop_oneof![1..=512usize, 1..=4096usize, 1..=FRAME_SIZE];
    prop_oneof![
        6 => (device.clone(), len).prop_map(|(device, len)| Step::Allocate { device, len }),
        1 => (device.clone(), 1..=4 * FRAME_SIZE)
            .prop_map(|(device, len)| Step::AllocateAll { device, len }),
        5 => any::<prop::sample::Index>().prop_map(Step::Free),
        1 => any::<prop::sample::Index>().prop_map(Step::Quarantine),
        1 => device.prop_map(Step::ConfirmReset),
    ]
}

/// A simple reference: size, owner and quarantine of each slot.
#[derive(Default)]
struct Reference {
    taken: BTreeMap<usize, (usize, usize, bool)>,
}

impl Reference {
    fn take(&mut self, slot: &Slot, device: usize, len: usize) {
        let (start, size) = (slot.offset(), slot.class().bytes());
        assert!(size >= len, "a slot smaller than asked for");
        assert!(start % size == 0 && start + size <= FRAMES as usize * FRAME_SIZE);
        for (other, (other_size, ..)) in &self.taken {
            assert!(start + size <= *other || other + other_size <= start, "slots overlap");
        }
        self.taken.insert(start, (size, device, false));
    }

    fn bytes(&self, device: Option<usize>, quarantined: bool) -> u64 {
        let mine = |(_, owner, kept): &&(usize, usize, bool)| {
            device.is_none_or(|device| device == *owner) && *kept == quarantined
        };
        self.taken.values().filter(mine).map(|(size, ..)| *size as u64).sum()
    }

    fn frames(&self, device: usize) -> u32 {
        let mine = self.taken.iter().filter(|(_, (_, owner, _))| *owner == device);
        let frames: std::collections::BTreeSet<_> = mine.map(|(start, _)| start / FRAME_SIZE).collect();
        frames.len() as u32
    }

    fn check(&self, pool: &Pool) {
        let all = pool.statistics();
        assert_eq!(all.bytes_in_use, self.bytes(None, false));
        assert_eq!(all.bytes_quarantined, self.bytes(None, true));
        assert_eq!(all.mistakes, 0);
        let mut owner_of_frame = BTreeMap::new();
        for (start, (size, device, _)) in &self.taken {
            let owner = owner_of_frame.entry(start / FRAME_SIZE).or_insert((*device, *size));
            assert_eq!(*owner, (*device, *size), "a frame serves two devices or two sizes");
        }
        let mut held = 0;
        for (device, own) in pool.devices().enumerate() {
            assert_eq!(own.bytes_in_use, self.bytes(Some(device), false));
            assert_eq!(own.bytes_quarantined, self.bytes(Some(device), true));
            assert_eq!(own.frames, self.frames(device));
            assert!(own.frames <= QUOTA);
            assert!(own.high_water_bytes >= own.bytes_in_use);
            held += own.frames;
        }
        assert_eq!(all.frames_free + held, FRAMES);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn slots_never_overlap_quotas_hold_and_everything_comes_back(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        case!("LIF-05", Work);
        let mut pool = Pool::new(FRAMES);
        let accounts: Vec<Account> =
            (0..DEVICES).map(|device| pool.register(DeviceId::from_routing(0, device as u16 * 8), QUOTA)).collect();
        let mut reference = Reference::default();
        let mut held: Vec<(usize, Slot)> = Vec::new();
        for step in steps {
            match step {
                Step::Allocate { device, len } => match pool.allocate(accounts[device], len) {
                    Ok(slot) => {
                        reference.take(&slot, device, len);
                        held.push((device, slot));
                    }
                    Err(error) => {
                        prop_assert_eq!(error.want, len);
                        prop_assert!(error.held_frames == QUOTA || pool.statistics().frames_free == 0);
                    }
                },
                Step::AllocateAll { device, len } => {
                    if let Ok(slots) = pool.allocate_all(accounts[device], len) {
                        let mut left = len;
                        for slot in slots {
                            let part = left.min(FRAME_SIZE);
                            left -= part;
                            reference.take(&slot, device, part);
                            held.push((device, slot));
                        }
                        prop_assert_eq!(left, 0);
                    }
                }
                Step::Free(index) if !held.is_empty() => {
                    let (_, slot) = held.swap_remove(index.index(held.len()));
                    reference.taken.remove(&slot.offset());
                    prop_assert!(pool.free(slot));
                }
                Step::Quarantine(index) if !held.is_empty() => {
                    let (_, slot) = held.swap_remove(index.index(held.len()));
                    reference.taken.get_mut(&slot.offset()).unwrap().2 = true;
                    prop_assert!(pool.quarantine(slot));
                }
                Step::ConfirmReset(device) => {
                    pool.confirm_reset(accounts[device], |slot| {
                        let known = reference.taken.remove(&slot.offset());
                        assert_eq!(known, Some((slot.class().bytes(), device, true)));
                    });
                }
                Step::Free(_) | Step::Quarantine(_) => {}
            }
            reference.check(&pool);
        }
        for (_, slot) in held {
            prop_assert!(pool.free(slot));
        }
        for account in accounts {
            pool.confirm_reset(account, |_| ());
        }
        let end = pool.statistics();
        prop_assert_eq!((end.frames_free, end.slots_in_use, end.bytes_in_use), (FRAMES, 0, 0));
        prop_assert_eq!((end.bytes_quarantined, end.mistakes), (0, 0));
    }
}
