//! A ring whose every byte the device may change between any two accesses.

use super::script::Script;
use crate::model::Model;
use crate::unchecked::bus_addr;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use papr::platform::{DeviceMemory, Platform};
use virtio_pci::virtio::ring::{Descriptor, Layout, QueueError, Ring};

/// Drives one ring. See [`crate::hostile`].
pub fn ring(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choice = script.below(12);
    let size = 1u16 << (choice % 6);
    let layout = Layout::new(size).unwrap();
    let machine = Model::new(false);
    let memory = machine.allocate(layout.total).unwrap();
    let mut ring = Ring::new(memory.clone(), size).unwrap();
    if choice >= 6 {
        ring.signal_by_index();
    }
    // By head: descriptors, bytes that may be written, and whether the device was told.
    let mut mine: BTreeMap<u16, (u16, u32, bool)> = BTreeMap::new();
    let mut completed = 0u16;
    while !script.is_over() {
        match script.below(8) {
            0..=1 => stage(&mut ring, &mut mine, &mut script),
            2 => {
                ring.publish(&machine);
                if ring.broken().is_none() {
                    mine.values_mut().for_each(|(_, _, told)| *told = true);
                }
            }
            3..=4 => {
                // A used entry, honest but for what the script changes.
                let head = mine.keys().copied().nth(script.below(mine.len())).unwrap_or(0);
                let id = match script.byte() {
                    240.. => script.u32(),
                    230.. => u32::from(head) + 1,
                    _ => head.into(),
                };
                let written = script.number() as u32;
                let entry = layout.used + 4 + 8 * usize::from(completed % size);
                memory.store32(entry, id);
                memory.store32(entry + 4, written);
                completed = completed.wrapping_add(1);
                memory.store16(layout.used + 2, completed);
            }
            5..=6 => match ring.take(&machine) {
                Ok(Some(used)) => {
                    let (_, writable, told) = mine.remove(&used.head).expect("a chain that was posted");
                    assert!(told && used.written <= writable);
                }
                Ok(None) => {}
                Err(violation) => assert_eq!(ring.broken(), Some(violation)),
            },
            _ => {
                let at = usize::from(script.u16()) % layout.total;
                let len = usize::from(script.byte()).min(layout.total - at);
                let noise = script.take(len);
                memory.write(at, noise);
            }
        }
        let used: u16 = mine.values().map(|(count, ..)| count).sum();
        assert_eq!(ring.free() + used, size, "every descriptor is free or mine");
    }
}

fn stage<M: DeviceMemory>(
    ring: &mut Ring<M>,
    mine: &mut BTreeMap<u16, (u16, u32, bool)>,
    script: &mut Script<'_>,
) {
    let count = 1 + script.below(4) as u16;
    let readable = script.below(4) as u16;
    let chain: Vec<Descriptor> = (0..count)
        .map(|i| Descriptor {
            bus: bus_addr(0x1000 * u64::from(i)),
            len: 1 + u32::from(script.byte()),
            device_writes: i >= readable,
        })
        .collect();
    let writable = chain.iter().filter(|d| d.device_writes).map(|d| d.len).sum();
    match ring.stage(&chain) {
        Ok(head) => assert_eq!(mine.insert(head, (count, writable, false)), None),
        Err(QueueError::Full { .. }) => assert!(count > ring.free()),
        Err(QueueError::Broken(violation)) => assert_eq!(ring.broken(), Some(violation)),
        Err(other) => panic!("{other}"),
    }
}
