//! Random bytes of an honest device, and of one with one violation at a time.

use core::time::Duration;
use postern_cases::case;
use std::sync::Arc;
use std::vec::Vec;
use svm_dma::dma::{DeviceId, DmaSystem};
use testkit::model::{Combination, Model};
use testkit::virtio_model::{VirtioModel, regions};
use virtio_pci::rng::error::RngError;
use virtio_pci::rng::reader::{BYTES, read_once};
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::transport::Transport;
use virtio_pci::virtio::violation::Violation;

const ACCESS_PLATFORM: u64 = 1 << 33;

/// How the device answers: bytes that it writes, the length that it states, and what it adds to the used id.
#[derive(Clone, Copy, Debug)]
struct Answer {
    bytes: usize,
    told: u32,
    id_offset: u32,
}

const HONEST: Answer = Answer { bytes: BYTES, told: BYTES as u32, id_offset: 0 };

fn device(machine: &Model, combination: Combination, answer: Option<Answer>) -> VirtioModel {
    let access = if combination.access_platform { ACCESS_PLATFORM } else { 0 };
    // Every feature that there is: none is wanted.
    let device = VirtioModel::new(machine, !ACCESS_PLATFORM | access, &[8], &[]);
    device.on_notify(move |queue, _| {
        for chain in queue.fetch() {
            let Some(answer) = answer else { continue };
            let content: Vec<u8> = (1..=answer.bytes as u8).collect();
            let mut at = 0;
            for buffer in &chain.buffers {
                assert!(buffer.device_writes, "a buffer that the device may not write");
                let end = content.len().min(at + buffer.len as usize);
                queue.bus.write(buffer.bus, &content[at..end]).unwrap();
                at = end;
            }
            queue.complete(u32::from(chain.head) + answer.id_offset, answer.told);
        }
    });
    device
}

fn read(machine: &Model, device: &VirtioModel) -> Result<Vec<u8>, RngError> {
    let transport = Transport::begin(device.clone(), regions(), machine)?;
    read_once(transport, Duration::from_millis(50), |translated| Ok(machine.dma(translated)))
}

#[test]
fn bytes_come_through_the_ring_in_all_four_combinations_and_the_device_ends() {
    for combination in Combination::ALL {
        let machine = combination.model();
        let device = device(&machine, combination, Some(HONEST));
        let expected: Vec<u8> = (1..=BYTES as u8).collect();
        assert_eq!(read(&machine, &device), Ok(expected), "{combination:?}");
        let registers = device.registers();
        assert_eq!((registers.status, registers.notified.len()), (0, 1));
        drop(registers);
        assert_eq!(machine.pieces_allocated(), 0);
        assert!(machine.refused().is_empty(), "{combination:?}: {:?}", machine.refused());
    }
}

#[test]
fn a_short_answer_is_used_and_unwritten_bytes_are_zero() {
    case!("RND-06", Work);
    for combination in Combination::ALL {
        let machine = combination.model();
        let device = device(&machine, combination, Some(Answer { bytes: 3, told: 5, ..HONEST }));
        assert_eq!(read(&machine, &device), Ok([1, 2, 3, 0, 0].to_vec()), "{combination:?}");
    }
}

#[test]
fn a_violation_is_named_and_no_memory_stays_with_the_device() {
    case!("RND-06", Refuse);
    let allowed = BYTES as u32;
    let long = Violation::TooLong { id: 0, written: allowed + 1, allowed };
    for (answer, error) in [
        (None, RngError::Timeout),
        (Some(Answer { told: 0, ..HONEST }), RngError::Nothing),
        (Some(Answer { told: allowed + 1, ..HONEST }), RngError::Violation(long)),
        (
            Some(Answer { id_offset: 1 << 16, ..HONEST }),
            RngError::Violation(Violation::IdOutOfRange { id: 1 << 16, size: 8 }),
        ),
    ] {
        for combination in Combination::ALL {
            let machine = combination.model();
            let device = device(&machine, combination, answer);
            assert_eq!(read(&machine, &device), Err(error), "{combination:?}");
            assert_eq!(device.registers().status, 0, "reset");
            assert_eq!(machine.pieces_allocated(), 0, "{combination:?}");
        }
    }
}

#[test]
fn a_device_that_is_not_reset_keeps_its_ring_and_buffer_and_no_more() {
    case!("RND-06", Quarantine);
    let machine = Combination { secure: true, access_platform: false }.model();
    let combination = Combination { secure: true, access_platform: false };
    let device = device(&machine, combination, None);
    let transport = Transport::begin(device.clone(), regions(), &machine).unwrap();
    let system = DmaSystem::secure(Arc::new(machine.clone()), machine.share(4), 1);
    let read = read_once(transport, Duration::from_millis(50), |translated| {
        device.registers().faults.no_reset = true;
        system.device(DeviceId::from_routing(0, 8), translated, None).map_err(RngError::Dma)
    });
    assert_eq!(read, Err(RngError::Timeout));
    let pool = system.pool_statistics().unwrap();
    assert!(pool.bytes_quarantined >= BYTES as u64, "{pool:?}");
    assert_eq!((pool.bytes_in_use, pool.bytes_quarantined), (0, pool.high_water_bytes));
}

#[test]
fn a_device_that_is_gone_is_named() {
    let combination = Combination { secure: true, access_platform: false };
    let machine = combination.model();
    let device = device(&machine, combination, Some(HONEST));
    device.registers().faults.gone = true;
    assert_eq!(read(&machine, &device), Err(RngError::Transport(TransportError::Gone)));
}
