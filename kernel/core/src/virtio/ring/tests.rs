//! The ring against an in-process device: honest ones, that complete in any order, and one liar a test.

use super::*;
use crate::addr::Gpa;
use postern_cases::case;
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use std::vec;

/// Memory that both sides see.
#[derive(Clone, Debug)]
struct Shared {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Offsets of the driver's loads, in order.
    loads: Arc<Mutex<Vec<usize>>>,
}

impl Shared {
    fn new(len: usize) -> Self {
        Self { bytes: Arc::new(Mutex::new(vec![0xa5; len])), loads: Arc::default() }
    }

    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.bytes.lock().unwrap()[offset..offset + N].try_into().unwrap()
    }

    fn load64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.get(offset))
    }
}

impl DeviceMemory for Shared {
    fn len(&self) -> usize {
        self.bytes.lock().unwrap().len()
    }
    fn gpa(&self) -> Gpa {
        Gpa(0)
    }
    fn part(&self, _: usize, _: usize) -> Option<Self> {
        None
    }
    fn read(&self, offset: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.bytes.lock().unwrap()[offset..offset + out.len()]);
    }
    fn write(&self, offset: usize, data: &[u8]) {
        self.bytes.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
    }
    fn zero(&self, offset: usize, len: usize) {
        self.bytes.lock().unwrap()[offset..offset + len].fill(0);
    }
    fn load16(&self, offset: usize) -> u16 {
        self.loads.lock().unwrap().push(offset);
        u16::from_le_bytes(self.get(offset))
    }
    fn load32(&self, offset: usize) -> u32 {
        self.loads.lock().unwrap().push(offset);
        u32::from_le_bytes(self.get(offset))
    }
    fn store16(&self, offset: usize, value: u16) {
        self.write(offset, &value.to_le_bytes());
    }
    fn store32(&self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }
    fn store64(&self, offset: usize, value: u64) {
        self.write(offset, &value.to_le_bytes());
    }
}

/// Counts barriers; the lock of [`Shared`] does the ordering.
struct Fences;

impl Barriers for Fences {
    fn write_barrier(&self) {}
    fn read_barrier(&self) {}
    fn full_barrier(&self) {}
}

/// The device's side of the ring.
struct Device {
    memory: Shared,
    layout: Layout,
    size: u16,
    seen: u16,
    used: u16,
}

impl Device {
    fn new(memory: &Shared, size: u16) -> Self {
        Self { memory: memory.clone(), layout: Layout::new(size).unwrap(), size, seen: 0, used: 0 }
    }

    /// Chains made available since the last call: head and descriptors.
    fn fetch(&mut self) -> Vec<(u16, Vec<Descriptor>)> {
        let mut chains = Vec::new();
        while self.seen != self.memory.load16(self.layout.available + 2) {
            let slot = usize::from(self.seen % self.size);
            let head = self.memory.load16(self.layout.available + 4 + 2 * slot);
            chains.push((head, self.chain(head)));
            self.seen = self.seen.wrapping_add(1);
        }
        chains
    }

    fn chain(&self, head: u16) -> Vec<Descriptor> {
        let mut chain = Vec::new();
        let mut at = head;
        loop {
            let offset = 16 * usize::from(at);
            let word = self.memory.load64(offset + 8);
            let flags = word >> 32 & 0xffff;
            chain.push(Descriptor {
                bus: BusAddr(self.memory.load64(offset)),
                len: word as u32,
                device_writes: flags & 2 != 0,
            });
            assert!(chain.len() <= usize::from(self.size), "a chain that loops");
            if flags & 1 == 0 {
                return chain;
            }
            at = (word >> 48) as u16;
        }
    }

    fn complete(&mut self, id: u32, written: u32) {
        self.entry(self.used, id, written);
        self.used = self.used.wrapping_add(1);
        self.index(self.used);
    }

    fn entry(&self, position: u16, id: u32, written: u32) {
        let offset = self.layout.used + 4 + 8 * usize::from(position % self.size);
        self.memory.store32(offset, id);
        self.memory.store32(offset + 4, written);
    }

    fn index(&self, index: u16) {
        self.memory.store16(self.layout.used + 2, index);
    }
}

fn pair(size: u16) -> (Ring<Shared>, Device) {
    let memory = Shared::new(Layout::new(size).unwrap().total);
    let device = Device::new(&memory, size);
    (Ring::new(memory, size).unwrap(), device)
}

fn reads(bus: u64, len: u32) -> Descriptor {
    Descriptor { bus: BusAddr(bus), len, device_writes: false }
}

fn writes(bus: u64, len: u32) -> Descriptor {
    Descriptor { bus: BusAddr(bus), len, device_writes: true }
}

/// Header, data, status: a block read of 512 bytes.
fn request(n: u64) -> [Descriptor; 3] {
    [reads(n << 12, 16), writes(n << 12 | 0x100, 512), writes(n << 12 | 0x800, 1)]
}

/// Stages and publishes one request.
fn post(ring: &mut Ring<Shared>, n: u64) -> u16 {
    let head = ring.stage(&request(n)).unwrap();
    assert!(ring.publish(&Fences));
    head
}

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
    assert_eq!(device.memory.load16(device.layout.used + 2), 0);
    assert_eq!(device.memory.load16(device.layout.available + 2), 0);
    assert_eq!(ring.free(), 8);
}

#[test]
fn driver_says_that_it_polls() {
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
    assert!(!ring.publish(&Fences), "nothing new, nothing to tell");
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

/// Whether the other side is to be told, as virtio 1.2 has it (2.7.7.2 and 2.7.10.2).
fn passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[test]
fn by_index_the_device_is_told_of_the_chain_that_it_names_whatever_it_names() {
    case!("RNG-15", Work);
    let (mut ring, mut device) = pair(8);
    ring.signal_by_index();
    // A flag that is set counts no more.
    device.memory.store16(device.layout.used, USED_NO_NOTIFY);
    let (mut published, mut told) = (0u16, 0);
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
        told += u32::from(passed(event, published, new));
        published = new;
        for head in heads {
            device.complete(head.into(), 1);
            assert_eq!(ring.take(&Fences), Ok(Some(Used { head, written: 1 })));
        }
    }
    assert!(told > 10_000, "{told}");
}

#[test]
fn by_index_an_interrupt_is_asked_for_the_next_completion_or_for_none_to_come_soon() {
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

/// Expects `lie`, the latch, and that the ring is left alone afterwards.
fn assert_broken(ring: &mut Ring<Shared>, lie: Lie) {
    assert_eq!(ring.take(&Fences), Err(lie));
    assert_eq!(ring.take(&Fences), Err(lie), "latched");
    assert_eq!(ring.stage(&request(7)), Err(QueueError::Broken(lie)));
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
    assert_broken(&mut ring, Lie::IdOutOfRange { id: 8, size: 8 });
}

#[test]
fn used_id_with_high_bits_breaks_it() {
    case!("RNG-02", Break);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    device.complete(0x1_0000 | u32::from(head), 1);
    assert_broken(&mut ring, Lie::IdOutOfRange { id: 0x1_0000 | u32::from(head), size: 8 });
}

#[test]
fn used_id_never_posted_breaks_it() {
    case!("RNG-03", Break);
    let (mut ring, mut device) = pair(8);
    post(&mut ring, 1);
    device.complete(5, 1);
    assert_broken(&mut ring, Lie::NotPosted { id: 5 });
}

#[test]
fn used_id_of_a_chain_not_yet_published_breaks_it() {
    case!("RNG-03", Break);
    let (mut ring, mut device) = pair(8);
    post(&mut ring, 1);
    let staged = ring.stage(&request(2)).unwrap();
    device.complete(staged.into(), 1);
    assert_broken(&mut ring, Lie::NotPosted { id: staged });
}

#[test]
fn used_id_in_the_middle_of_a_chain_breaks_it() {
    case!("RNG-04", Break);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    device.complete(u32::from(head) + 1, 1);
    assert_broken(&mut ring, Lie::NotHead { id: head + 1 });
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
    assert_broken(&mut ring, Lie::NotPosted { id: head });
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
    assert_broken(&mut ring, Lie::NotPosted { id: head });
}

#[test]
fn used_len_beyond_the_writable_bytes_breaks_it() {
    case!("RNG-07", Break);
    let (mut ring, mut device) = pair(8);
    let head = post(&mut ring, 1);
    device.complete(head.into(), 514);
    assert_broken(&mut ring, Lie::TooLong { id: head, written: 514, allowed: 513 });
}

#[test]
fn device_readable_bytes_do_not_count_as_writable() {
    case!("RNG-07", Break);
    let (mut ring, mut device) = pair(8);
    let head = ring.stage(&[reads(0, 4096), writes(0x2000, 1)]).unwrap();
    ring.publish(&Fences);
    device.complete(head.into(), 2);
    assert_broken(&mut ring, Lie::TooLong { id: head, written: 2, allowed: 1 });
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
    assert_broken(&mut ring, Lie::IndexJump { index: 0, last: 1, posted: 1 });
}

#[test]
fn used_index_too_far_ahead_breaks_it() {
    case!("RNG-11", Break);
    let (mut ring, device) = pair(8);
    post(&mut ring, 1);
    device.index(2);
    assert_broken(&mut ring, Lie::IndexJump { index: 2, last: 0, posted: 1 });
}

#[test]
fn used_index_moving_before_anything_is_posted_breaks_it() {
    case!("NEG-14", Break);
    let (mut ring, device) = pair(8);
    device.index(1);
    assert_broken(&mut ring, Lie::IndexJump { index: 1, last: 0, posted: 0 });
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
fn first_lie_is_the_one_remembered() {
    let (mut ring, _) = pair(8);
    ring.latch(Lie::NotPosted { id: 1 });
    ring.latch(Lie::NotPosted { id: 2 });
    assert_eq!(ring.broken(), Some(Lie::NotPosted { id: 1 }));
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
                // The length tells the driver which request the device believes it was.
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

    /// Whatever an honest device does and in whatever order, each chain comes back once with its own length.
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

    /// Noise over the whole ring, at any moment, makes at worst a broken queue.
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
