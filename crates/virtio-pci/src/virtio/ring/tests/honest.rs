//! Honest devices, which complete in any order.

use super::*;
use postern_cases::case;
use proptest::prelude::*;

#[test]
fn layout_is_aligned_and_contiguous() {
    assert_eq!(Layout::new(256), Some(Layout { descriptors: 0, available: 4096, used: 4620, total: 6674 }));
    for size in [0, 3, 255, 0x8001, 0xffff] {
        assert_eq!(Layout::new(size), None, "{size}");
    }
    for shift in 0..16 {
        let layout = Layout::new(1 << shift).unwrap();
        assert_eq!(layout.used % 4, 0);
        assert_eq!((layout.used + 4) % 8, 0, "no entry of the used ring lies in two pages");
        assert!(layout.used >= layout.available + 6 + (2 << shift));
        assert_eq!(layout.total, layout.used + 6 + (8 << shift));
    }
}

#[test]
fn memory_too_small_is_no_ring() {
    assert!(Ring::new(Shared::new(Layout::new(8).unwrap().total - 1), 8).is_none());
}

#[test]
fn queue_memory_is_zeroed_before_use() {
    case!("NEG-14", Ignore);
    let (ring, device) = pair(8);
    let bytes = device.memory.bytes.lock().unwrap().clone();
    let not_zero: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    assert_eq!(not_zero, [device.layout.available], "the flag for no interrupt");
    assert_eq!(ring.free(), 8);
}

#[test]
fn the_driver_wants_no_interrupt_at_first() {
    let (_, device) = pair(8);
    assert_eq!(device.memory.load16(device.layout.available), AVAIL_NO_INTERRUPT);
}

#[test]
fn staged_chains_become_visible_together() {
    let (mut ring, mut device) = pair(8);
    let first = ring.stage(&request(1)).unwrap();
    let second = ring.stage(&request(2)).unwrap();
    assert!(device.fetch().is_empty());
    assert_eq!(ring.free(), 2);
    assert!(ring.publish(&Fences));
    let chains = device.fetch();
    assert_eq!(chains, [(first, request(1).to_vec()), (second, request(2).to_vec())]);
    assert!(!ring.publish(&Fences), "nothing new, no notification");
}

#[test]
fn no_notification_when_the_device_polls() {
    case!("RNG-15", Work);
    let (mut ring, device) = pair(8);
    ring.stage(&request(1)).unwrap();
    device.memory.store16(device.layout.used, USED_NO_NOTIFY);
    assert!(!ring.publish(&Fences));
    ring.stage(&request(2)).unwrap();
    device.memory.store16(device.layout.used, 0xfffe);
    assert!(ring.publish(&Fences), "only bit 0 counts");
}

#[test]
fn the_next_head_is_known_before_it_is_taken_in_whatever_order_chains_end() {
    let (mut ring, mut device) = pair(8);
    let mut held: Vec<u16> = Vec::new();
    for round in 0..1000usize {
        if let Some(next) = ring.next_head() {
            assert!(!held.contains(&next), "{next} of {held:?}");
            assert_eq!(ring.stage(&[writes(0, 1)]), Ok(next));
            ring.publish(&Fences);
            held.push(next);
        }
        if round % 3 > 0 || held.len() == 8 {
            let head = held.remove(round * 7 % held.len());
            device.complete(head.into(), 1);
            assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 1 })));
        }
    }
    while ring.free() > 0 {
        ring.stage(&[writes(0, 1)]).unwrap();
    }
    assert_eq!(ring.next_head(), None);
}

/// Whether the other side must be notified, by virtio 1.2 (2.7.7.2 and 2.7.10.2).
fn passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[test]
fn by_index_the_device_is_notified_of_the_chain_that_it_names() {
    case!("RNG-15", Work);
    let (mut ring, mut device) = pair(8);
    ring.signal_by_index();
    // The flag has no effect now.
    device.memory.store16(device.layout.used, USED_NO_NOTIFY);
    let (mut published, mut notified) = (0u16, 0);
    for round in 0..200_000u32 {
        let count = 1 + (round % 3) as u16;
        let heads: Vec<u16> = (0..count).map(|_| ring.stage(&[writes(0, 1)]).unwrap()).collect();
        let event = match round % 4 {
            0 => round.wrapping_mul(2_654_435_761) as u16,
            _ => published.wrapping_add((round / 4 % 7) as u16).wrapping_sub(2),
        };
        device.memory.store16(device.layout.used + 4 + 8 * 8, event);
        let new = published.wrapping_add(count);
        assert_eq!(ring.publish(&Fences), passed(event, published, new), "{event}: {published} to {new}");
        notified += u32::from(passed(event, published, new));
        published = new;
        for head in heads {
            device.complete(head.into(), 1);
            assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 1 })));
        }
    }
    assert!(notified > 10_000, "{notified}");
}

#[test]
fn by_index_an_interrupt_is_requested_for_the_next_completion_or_for_none_soon() {
    let (mut ring, mut device) = pair(8);
    ring.signal_by_index();
    let used_event = device.layout.available + 4 + 2 * 8;
    for done in 0..70_000u32 {
        let done = done as u16;
        let event = device.memory.load16(used_event);
        assert!((0..=8).all(|more| !passed(event, done.wrapping_sub(8), done.wrapping_add(more))), "{event}");
        let head = ring.stage(&[writes(0, 1)]).unwrap();
        ring.publish(&Fences);
        assert!(!ring.arm(&Fences));
        assert!(passed(device.memory.load16(used_event), done, done.wrapping_add(1)));
        device.complete(head.into(), 1);
        assert!(ring.arm(&Fences), "it has come already");
        assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 1 })));
        ring.disarm();
    }
    assert_eq!(device.memory.load16(device.layout.available), 0, "the flag must not be used");
}

#[test]
fn full_ring_says_how_full_and_recovers() {
    let (mut ring, mut device) = pair(4);
    let head = post(&mut ring, 1);
    assert_eq!(ring.stage(&request(2)), Err(QueueError::Full { want: 3, free: 1 }));
    assert_eq!(ring.stage(&[writes(0, 1)]), Ok(3));
    device.complete(head.into(), 513);
    assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 513 })));
    assert_eq!(ring.free(), 3);
    ring.stage(&request(2)).unwrap();
}

#[test]
fn malformed_chains_are_refused_before_anything_is_written() {
    let (mut ring, _) = pair(8);
    assert_eq!(ring.stage(&[]), Err(QueueError::Empty));
    assert_eq!(ring.stage(&[reads(0, 0)]), Err(QueueError::Length));
    assert_eq!(ring.stage(&[reads(0, u32::MAX), reads(0, 1)]), Err(QueueError::Length));
    assert_eq!(ring.stage(&[writes(0, 1), reads(0, 1)]), Err(QueueError::Order));
    assert_eq!(ring.free(), 8);
}

#[test]
fn completions_out_of_order_work() {
    case!("RNG-17", Work);
    let (mut ring, mut device) = pair(16);
    let heads: Vec<u16> = (0..5).map(|n| post(&mut ring, n)).collect();
    device.fetch();
    for &n in &[3, 0, 4, 1, 2] {
        device.complete(heads[n].into(), n as u32);
    }
    for &n in &[3, 0, 4, 1, 2] {
        assert_eq!(ring.take(&Fences), Ok(Some(Used { head: heads[n], written: n as u32 })));
    }
    assert_eq!(ring.take(&Fences), Ok(None));
    assert_eq!((ring.free(), ring.posted()), (16, 0));
}

#[test]
fn index_wraps_at_two_to_the_sixteenth() {
    let (mut ring, mut device) = pair(4);
    for n in 0..70_000 {
        let head = post(&mut ring, n);
        assert_eq!(device.fetch().len(), 1);
        device.complete(head.into(), 513);
        assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 513 })));
    }
}

#[test]
fn honest_device_in_its_own_thread_completes_everything() {
    const REQUESTS: u64 = 20_000;
    let (mut ring, mut device) = pair(32);
    let thread = std::thread::spawn(move || {
        let mut done = 0;
        let mut held: Vec<(u16, Vec<Descriptor>)> = Vec::new();
        let mut random = 1u64;
        while done < REQUESTS {
            held.extend(device.fetch());
            while !held.is_empty() {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let (head, chain) = held.swap_remove((random >> 33) as usize % held.len());
                // The length tells the driver which request the device read.
                device.complete(head.into(), (chain[0].bus.raw() >> 12) as u32 & 0xff);
                done += 1;
            }
            std::thread::yield_now();
        }
    });
    let mut waiting = std::collections::HashMap::new();
    let (mut sent, mut received) = (0, 0);
    while received < REQUESTS {
        while sent < REQUESTS && ring.free() >= 3 {
            assert_eq!(waiting.insert(ring.stage(&request(sent)).unwrap(), sent), None);
            sent += 1;
        }
        ring.publish(&Fences);
        while let Some(used) = ring.take(&Fences).unwrap() {
            assert_eq!(waiting.remove(&used.head).map(|n| n & 0xff), Some(u64::from(used.written)));
            received += 1;
        }
        std::thread::yield_now();
    }
    thread.join().unwrap();
    assert!(waiting.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// An honest device may complete in any order: each chain comes back once with its own length.
    #[test]
    fn every_chain_comes_back_once(
        shift in 0u32..6,
        steps in proptest::collection::vec((any::<bool>(), any::<u16>()), 1..400),
    ) {
        let (mut ring, mut device) = pair(1 << shift);
        let mut held = Vec::new();
        let mut expected = std::collections::HashMap::new();
        for (post, choice) in steps {
            if post {
                let len = 1 + choice % 6;
                let chain: Vec<Descriptor> =
                    (0..len).map(|i| writes(u64::from(i) << 8, u32::from(i) + 1)).collect();
                match ring.stage(&chain) {
                    Ok(head) => {
                        prop_assert_eq!(expected.insert(head, chain.iter().map(|d| d.len).sum::<u32>()), None);
                        ring.publish(&Fences);
                    }
                    Err(QueueError::Full { .. }) => prop_assert!(len > ring.free()),
                    Err(other) => prop_assert!(false, "{}", other),
                }
            } else {
                held.extend(device.fetch());
                if !held.is_empty() {
                    let (head, chain) = held.swap_remove(usize::from(choice) % held.len());
                    device.complete(head.into(), chain.iter().map(|d| d.len).sum());
                    let used = ring.take(&Fences).unwrap().unwrap();
                    prop_assert_eq!(expected.remove(&used.head), Some(used.written));
                }
            }
        }
    }
}
