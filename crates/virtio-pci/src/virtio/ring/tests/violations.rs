//! One violation in each test, and noise.

use super::*;
use postern_cases::case;
use proptest::prelude::*;

/// Expects `violation`, that it is latched, and that the ring is not written to afterwards.
fn assert_broken(ring: &mut Ring<Shared>, violation: Violation) {
    assert_eq!(ring.take(&Fences), Err(violation));
    assert_eq!(ring.take(&Fences), Err(violation), "latched");
    assert_eq!(ring.stage(&request(7)), Err(QueueError::Broken(violation)));
    let before = ring.memory.bytes.lock().unwrap().clone();
    assert!(!ring.publish(&Fences));
    assert_eq!(before, *ring.memory.bytes.lock().unwrap());
}

#[test]
fn used_id_beyond_the_queue_breaks_it() {
    case!("RNG-01", Break);
    let (mut ring, mut device) = pair(8);
    post(&mut ring, 1);
    device.complete(8, 1);
    assert_broken(&mut ring, Violation::IdOutOfRange { id: 8, size: 8 });
}

#[test]
fn used_id_with_high_bits_breaks_it() {
    case!("RNG-02", Break);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    device.complete(0x1_0000 | u32::from(head), 1);
    assert_broken(&mut ring, Violation::IdOutOfRange { id: 0x1_0000 | u32::from(head), size: 8 });
}

#[test]
fn used_id_never_posted_breaks_it() {
    case!("RNG-03", Break);
    let (mut ring, mut device) = pair(8);
    post(&mut ring, 1);
    device.complete(5, 1);
    assert_broken(&mut ring, Violation::NotPosted { id: 5 });
}

#[test]
fn used_id_of_a_chain_not_yet_published_breaks_it() {
    case!("RNG-03", Break);
    let (mut ring, mut device) = pair(8);
    post(&mut ring, 1);
    let staged = ring.stage(&request(2)).unwrap();
    device.complete(staged.into(), 1);
    assert_broken(&mut ring, Violation::NotPosted { id: staged });
}

#[test]
fn used_id_in_the_middle_of_a_chain_breaks_it() {
    case!("RNG-04", Break);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    device.complete(u32::from(head) + 1, 1);
    assert_broken(&mut ring, Violation::NotHead { id: head + 1 });
}

#[test]
fn used_id_in_the_middle_of_a_chain_that_has_ended_breaks_it() {
    for full in [false, true] {
        let (mut ring, mut device) = pair(8);
        let ended = post(&mut ring, 1);
        post(&mut ring, 2);
        if full {
            ring.stage(&[writes(0, 1), writes(1, 1)]).unwrap();
        }
        device.complete(ended.into(), 1);
        ring.take(&Fences).unwrap();
        device.complete(u32::from(ended) + 1, 1);
        assert_broken(&mut ring, Violation::NotPosted { id: ended + 1 });
    }
}

#[test]
fn same_id_twice_in_one_batch_breaks_it() {
    case!("RNG-05", Break);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    post(&mut ring, 2);
    device.complete(head.into(), 1);
    device.complete(head.into(), 1);
    assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 1 })));
    assert_broken(&mut ring, Violation::NotPosted { id: head });
}

#[test]
fn same_id_again_in_a_later_batch_breaks_it() {
    case!("RNG-05", Break);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    post(&mut ring, 2);
    device.complete(head.into(), 1);
    ring.take(&Fences).unwrap();
    assert_eq!(ring.take(&Fences), Ok(None));
    device.complete(head.into(), 1);
    assert_broken(&mut ring, Violation::NotPosted { id: head });
}

#[test]
fn an_old_id_breaks_it_although_another_chain_was_posted_since() {
    case!("RNG-23", Break);
    let (mut ring, mut device) = pair(16);
    let old = post(&mut ring, 1);
    device.complete(old.into(), 1);
    ring.take(&Fences).unwrap();
    let new = post(&mut ring, 2);
    assert_ne!(new, old, "the head that was free the longest is the next");
    device.complete(old.into(), 1);
    assert_broken(&mut ring, Violation::NotPosted { id: old });
}

#[test]
fn a_head_comes_again_only_after_every_descriptor_that_was_free() {
    case!("RNG-23", Break);
    for held in 0..4 {
        let (mut ring, mut device) = pair(16);
        for n in 0..held {
            post(&mut ring, n);
        }
        let mut heads = Vec::new();
        for n in 0..100 {
            let head = post(&mut ring, n);
            device.complete(head.into(), 1);
            assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 1 })));
            heads.push(head);
        }
        // A head comes again only after as many chains of three as fit into the free descriptors.
        let free = usize::from(ring.free());
        for window in heads.windows(free / 3) {
            let distinct: std::collections::BTreeSet<_> = window.iter().collect();
            assert_eq!(distinct.len(), window.len(), "{window:?} of {free}");
        }
    }
}

#[test]
fn the_used_length_of_a_read_only_chain_is_ignored() {
    case!("RNG-24", Ignore);
    let (mut ring, mut device) = pair(8);
    let head = ring.stage(&[reads(0, 60)]).unwrap();
    ring.publish(&Fences);
    device.complete(head.into(), u32::MAX);
    assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 0 })));
    assert_eq!(ring.broken(), None);
}

#[test]
fn used_len_beyond_the_writable_bytes_breaks_it() {
    case!("RNG-07", Break);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    device.complete(head.into(), 514);
    assert_broken(&mut ring, Violation::TooLong { id: head, written: 514, allowed: 513 });
}

#[test]
fn device_readable_bytes_do_not_count_as_writable() {
    case!("RNG-07", Break);
    let (mut ring, mut device) = pair(8);
    let head = ring.stage(&[reads(0, 4096), writes(0x2000, 1)]).unwrap();
    ring.publish(&Fences);
    device.complete(head.into(), 2);
    assert_broken(&mut ring, Violation::TooLong { id: head, written: 2, allowed: 1 });
}

#[test]
fn used_index_going_back_breaks_it() {
    case!("RNG-11", Break);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    device.complete(head.into(), 1);
    ring.take(&Fences).unwrap();
    post(&mut ring, 2);
    device.index(0);
    assert_broken(&mut ring, Violation::IndexJump { index: 0, last: 1, posted: 1 });
}

#[test]
fn used_index_too_far_ahead_breaks_it() {
    case!("RNG-11", Break);
    let (mut ring, device) = pair(8);
    post(&mut ring, 1);
    device.index(2);
    assert_broken(&mut ring, Violation::IndexJump { index: 2, last: 0, posted: 1 });
}

#[test]
fn used_index_moving_before_anything_is_posted_breaks_it() {
    case!("NEG-14", Break);
    let (mut ring, device) = pair(8);
    device.index(1);
    assert_broken(&mut ring, Violation::IndexJump { index: 1, last: 0, posted: 0 });
}

#[test]
fn rewritten_descriptors_have_no_effect() {
    case!("RNG-13", Ignore);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    device.fetch();
    device.memory.bytes.lock().unwrap()[..8 * 16].fill(0xff);
    device.complete(head.into(), 513);
    assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 513 })));
    assert_eq!(ring.free(), 8);
    let again = post(&mut ring, 3);
    assert_eq!(device.fetch(), [(again, request(3).to_vec())]);
}

#[test]
fn rewritten_available_ring_has_no_effect() {
    case!("RNG-13", Ignore);
    let (mut ring, mut device) = pair(8);
    let first = post(&mut ring, 1);
    device.fetch();
    device.memory.store16(device.layout.available + 2, 0xdead);
    device.memory.store16(device.layout.available + 6, 0xbeef);
    let second = post(&mut ring, 2);
    assert_eq!(device.fetch(), [(second, request(2).to_vec())]);
    device.complete(first.into(), 0);
    assert_eq!(ring.take(&Fences), Ok(Some(Used { head: first, written: 0 })));
}

#[test]
fn each_word_of_the_device_is_read_once() {
    case!("RNG-12", Ignore);
    let (mut ring, mut device) = pair(8);
    let heads = [post(&mut ring, 1), post(&mut ring, 2)];
    for head in heads {
        device.complete(head.into(), 513);
    }
    device.memory.loads.lock().unwrap().clear();
    for head in heads {
        assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 513 })));
    }
    let used = device.layout.used;
    let expected = [used + 2, used + 4, used + 8, used + 12, used + 16];
    assert_eq!(*device.memory.loads.lock().unwrap(), expected, "one index, then id and length of each entry");
}

#[test]
fn the_first_violation_is_kept() {
    let (mut ring, mut device) = pair(8);
    post(&mut ring, 1);
    post(&mut ring, 2);
    device.complete(8, 1);
    let first = Violation::IdOutOfRange { id: 8, size: 8 };
    assert_broken(&mut ring, first);
    device.complete(9, 1);
    assert_broken(&mut ring, first);
    assert_eq!(ring.broken(), Some(first));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Noise in the ring at worst breaks the queue.
    #[test]
    fn noise_breaks_the_queue_at_worst(noise in proptest::collection::vec(any::<u8>(), 256), at in 0usize..230) {
        let (mut ring, device) = pair(8);
        let total = device.layout.total;
        post(&mut ring, 1);
        post(&mut ring, 2);
        let at = at % total;
        let len = noise.len().min(total - at);
        device.memory.write(at, &noise[..len]);
        for _ in 0..16 {
            if let Ok(Some(used)) = ring.take(&Fences) {
                prop_assert!(used.written <= 513);
            }
        }
        prop_assert!(ring.free() <= 8);
    }
}
