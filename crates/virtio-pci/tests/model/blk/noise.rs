//! Whatever the device answers: each request completes once, and nothing panics.

use core::time::Duration;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;
use testkit::blk_model::{Config, Rig, content};
use testkit::model::Combination;
use virtio_pci::blk::error::{BlkError, BreakReason};

/// One answer: how the id, the length and the status differ from the honest ones.
type Answer = (u32, u32, u8);

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let id = prop_oneof![9 => Just(0u32), 1 => any::<u32>(), 1 => 1u32..8];
    let length = prop_oneof![9 => Just(0u32), 1 => any::<u32>()];
    let status = prop_oneof![9 => Just(0u8), 1 => any::<u8>()];
    proptest::collection::vec((id, length, status), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_completes_once_whatever_the_device_answers(
        combination in 0usize..4,
        requests in 1u64..32,
        script in answers(),
        resets in any::<bool>(),
    ) {
        let rig = Rig::new(Combination::ALL[combination], Config::sectors(64));
        let mut blk = rig.start();
        blk.set_timeout(Duration::from_millis(1));
        rig.device.registers().faults.no_reset = !resets;
        let mut script = script.into_iter();
        rig.device.on_notify(move |queue, _| {
            for chain in queue.fetch() {
                let Some((id, length, status)) = script.next() else { return };
                let [_, data @ .., last] = &chain.buffers[..] else { continue };
                let mut written = 1u32;
                for buffer in data {
                    queue.bus.write(buffer.bus, &content(buffer.len as usize)).unwrap();
                    written += buffer.len;
                }
                queue.bus.write(last.bus, &[status]).unwrap();
                queue.complete(u32::from(chain.head).wrapping_add(id), written.wrapping_add(length));
            }
        });
        let mut waiting = BTreeSet::new();
        for _ in 0..requests {
            waiting.insert(blk.submit_read(0, vec![0xee; 512]).unwrap());
        }
        blk.kick();
        while let Some(completion) = blk.wait() {
            prop_assert!(waiting.remove(&completion.token));
            match completion.result {
                Ok(()) => prop_assert_eq!(completion.buffer, content(512)),
                Err(BlkError::Broken(BreakReason::Timeout | BreakReason::Violation(_))) => {
                    prop_assert!(completion.buffer.is_empty() != resets);
                }
                Err(_) => prop_assert_eq!(completion.buffer, vec![0; 512]),
            }
        }
        prop_assert!(waiting.is_empty());
        prop_assert!(rig.machine.refused().is_empty());
    }
}
