//! Compares the requests that the disk read with those that the driver was asked for.

use super::*;
use disk::Request;
use virtio_pci::blk::error::BreakReason;
use virtio_pci::virtio::queue::Queue;
use virtio_pci::virtio::ring::{Descriptor, Used};
use virtio_pci::virtio::violation::Violation;
use virtio_queue::QueueT;

fn content() -> Vec<u8> {
    (0..1 << 20).map(|at: u32| (at ^ at >> 9).to_le_bytes()[0]).collect()
}

#[test]
fn a_disk_on_virtio_queue_is_read_and_written() {
    let (disk, mut driver) = connect(content()).unwrap();
    assert_eq!(driver.read(0, content().len()).unwrap(), content());
    let data: Vec<u8> = (0..3 * 4096).map(|at: u32| at.to_le_bytes()[1] | 0x80).collect();
    driver.write(24, &data).unwrap();
    let mut wanted = content();
    wanted[24 * 512..][..data.len()].copy_from_slice(&data);
    assert!(disk.content() == wanted, "the disk holds something else");
    assert_eq!(driver.read(0, wanted.len()).unwrap(), wanted);
}

#[test]
fn the_ring_goes_round_many_times() {
    let (disk, mut driver) = connect(content()).unwrap();
    // A queue of 16 descriptors; the 16-bit indices wrap, too.
    for round in 0..70_000u64 {
        let sector = round * 7 % 2048;
        let at = usize::try_from(sector).unwrap() * 512;
        assert_eq!(driver.read(sector, 512).unwrap(), content_at(at), "round {round}");
    }
    assert_eq!(disk.requests(), 70_000);
}

fn content_at(at: usize) -> Vec<u8> {
    (at..at + 512).map(|at| (at ^ at >> 9).to_le_bytes()[0]).collect()
}

#[test]
fn a_request_is_a_header_data_and_a_status() {
    let (disk, mut driver) = connect(content()).unwrap();
    driver.read(8, 4096).unwrap();
    driver.write(16, &[7; 512]).unwrap();
    let read = Request { kind: 0, sector: 8, readable: 16, writable: 4096 + 1 };
    let write = Request { kind: 1, sector: 16, readable: 16 + 512, writable: 1 };
    assert_eq!(disk.seen(), [read, write]);
}

/// Fills one chain and makes the device answer it; returns whether the device had to be notified and wants to interrupt.
fn exchange(
    driver: &mut Queue<Guest, ()>,
    device: &mut virtio_queue::Queue,
    memory: &GuestMemoryMmap,
    data: Descriptor,
) -> (bool, bool) {
    // SAFETY: the descriptor names coherent memory of the same device, which outlives the queue.
    let head = unsafe { driver.stage(&[data]) }.unwrap();
    let doorbell = driver.publish();
    let chain = device.pop_descriptor_chain(memory).expect("the chain that was published");
    assert_eq!(chain.head_index(), head);
    device.add_used(memory, head, 8).unwrap();
    let interrupt = device.needs_notification(memory).unwrap();
    assert_eq!(driver.take().unwrap(), Some(Used { head, written: 8 }));
    (doorbell, interrupt)
}

#[test]
fn each_side_understands_the_event_index_of_the_other() {
    let (_platform, dma, memory) = guest();
    let dma = dma.device(DEVICE, false, None).unwrap();
    let mut driver = Queue::new(&dma, 16).unwrap();
    driver.signal_by_index();
    let mut device = virtio_queue::Queue::new(16).unwrap();
    let at = driver.addresses();
    device.try_set_desc_table_address(GuestAddress(at.descriptors.raw())).unwrap();
    device.try_set_avail_ring_address(GuestAddress(at.available.raw())).unwrap();
    device.try_set_used_ring_address(GuestAddress(at.used.raw())).unwrap();
    device.set_event_idx(true);
    device.set_ready(true);
    let buffer = dma.coherent(64).unwrap();
    let data = Descriptor { bus: buffer.bus, len: 64, device_writes: true };
    // Until both indices have wrapped.
    for round in 0..70_000 {
        let armed = round % 3 == 0;
        if armed {
            assert!(!driver.arm(), "nothing is to be taken");
        } else {
            driver.disarm();
        }
        let listens = round % 5 == 0;
        if listens {
            assert!(!device.enable_notification(&memory).unwrap());
        }
        let seen = exchange(&mut driver, &mut device, &memory, data);
        assert_eq!(seen, (listens, armed), "round {round}");
    }
}

#[test]
fn an_answer_for_a_request_that_was_not_made_breaks_the_device() {
    let (disk, mut driver) = connect(content()).unwrap();
    disk.answer_another(true);
    assert_eq!(
        driver.read(0, 512),
        Err(BlkError::Broken(BreakReason::Violation(Violation::NotPosted { id: 9 })))
    );
    disk.answer_another(false);
    assert!(driver.read(0, 512).is_err(), "a broken device stays so");
}

#[test]
fn a_disk_without_the_pool_reads_nothing() {
    // The driver's rings lie in the pool: in other memory `virtio-queue` finds no request.
    let elsewhere = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
    let (disk, mut driver) = connect(content()).unwrap();
    disk.replace_memory(elsewhere);
    driver.set_timeout(core::time::Duration::from_millis(5));
    assert_eq!(driver.read(0, 512), Err(BlkError::Broken(BreakReason::Timeout)));
    assert_eq!(disk.requests(), 0);
}
