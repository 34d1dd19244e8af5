//! Batches in which one request cannot be submitted: the requests accepted before it are carried out, and the disk works
//! afterwards.

use papr::clock::Clock;
use postern_core::disk::pattern::Pattern;
use std::vec::Vec;
use svm_dma::dma::{DeviceId, Dma, DmaError};
use svm_dma::tce::{DmaWindow, TceError};
use testkit::blk_model::{Config, Rig, content};
use testkit::model::{Combination, Model};
use testkit::virtio_model::{VirtioModel, regions};
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::{BlkError, BreakReason};
use virtio_pci::blk::stream::{Plan, TransferError};
use virtio_pci::virtio::transport::Transport;
use workloads::bench::{self, BenchError, Content};
use workloads::soak::{Soak, SoakError};
use workloads::work::Work;

const SECTORS: u64 = 64;
/// Two requests fit the disk, the third does not.
const PLAN: Plan = Plan { chunk: 32 * 512, depth: 8 };

fn beyond(sector: u64) -> BlkError {
    BlkError::OutOfRange { sector, bytes: 32 * 512, capacity: SECTORS }
}

/// The disk works, and no wait ran into a timeout.
fn assert_works(rig: &Rig, blk: &mut Blk<VirtioModel, Model>, since: u64) {
    assert_eq!(blk.in_flight(), 0);
    assert_eq!(blk.broken(), None);
    assert!(rig.machine.now() - since < rig.machine.frequency() / 10, "a wait ran into a timeout");
    let expected = rig.disk().bytes.clone();
    assert_eq!(blk.read(0, expected.len()).unwrap(), expected);
}

#[test]
fn a_read_that_cannot_be_submitted_leaves_those_before_it_carried_out_and_the_disk_good() {
    for combination in Combination::ALL {
        let rig = Rig::new(combination, Config::sectors(SECTORS));
        let mut blk = rig.start();
        let since = rig.machine.now();
        let error = blk.read_range(0..4 * 32 * 512, PLAN, |_, _| {}).unwrap_err();
        assert_eq!(error, TransferError { sector: 64, error: beyond(64) });
        assert_eq!(rig.disk().most_held, 2, "{combination:?}: the accepted requests reached the device");
        assert_works(&rig, &mut blk, since);
    }
}

#[test]
fn writes_before_one_that_cannot_be_submitted_are_on_the_disk() {
    for combination in Combination::ALL {
        let rig = Rig::new(combination, Config::sectors(SECTORS));
        let mut blk = rig.start();
        let since = rig.machine.now();
        let error = blk.write_range(0..4 * 32 * 512, PLAN, |_, chunk| chunk.fill(0x5a)).unwrap_err();
        assert_eq!(error, TransferError { sector: 64, error: beyond(64) });
        assert!(rig.disk().bytes.iter().all(|byte| *byte == 0x5a), "{combination:?}");
        assert_works(&rig, &mut blk, since);
    }
}

#[test]
fn waiting_publishes_requests_that_were_not_kicked() {
    let rig = Rig::plain(Config::sectors(SECTORS));
    let mut blk = rig.start();
    blk.submit_read(0, std::vec![0; 512]).unwrap();
    let completion = blk.wait().unwrap();
    assert_eq!(completion.result, Ok(()));
    assert_eq!(completion.buffer, content(512));
}

#[test]
fn a_measurement_that_fails_leaves_nothing_in_flight() {
    let rig = Rig::plain(Config::sectors(512));
    Pattern { seed: 3 }.fill(0, &mut rig.disk().bytes);
    rig.disk().corrupt_from = Some(256);
    let mut blk = rig.start();
    let since = rig.machine.now();
    let work = Work::parse("read:4096:16:seq:100").unwrap();
    let error = bench::run(&mut blk, work, Content::Pattern(Pattern { seed: 3 })).unwrap_err();
    assert!(matches!(error, BenchError::Mismatch(_)), "{error}");
    rig.disk().corrupt_from = None;
    assert_works(&rig, &mut blk, since);
}

#[test]
fn random_work_that_fails_leaves_nothing_in_flight() {
    let rig = Rig::plain(Config::sectors(2048));
    let mut blk = rig.start();
    let mut soak = Soak::new(1, 2048 * 512, false);
    rig.disk().shuffle = true;
    for _ in 0..64 {
        soak.step(&mut blk).unwrap();
    }
    // From now on the disk is half as large as it was.
    let mut registers = rig.device.registers();
    registers.config = Config::sectors(1024).bytes();
    registers.generation += 1;
    drop(registers);
    blk.check_device();
    let error = (0..256).find_map(|_| soak.step(&mut blk).err()).unwrap();
    assert!(matches!(error, SoakError::Request(BlkError::OutOfRange { .. })), "{error}");
    assert_eq!((blk.in_flight(), blk.broken()), (0, None));
    assert_eq!(blk.read(0, 512).unwrap(), content(512));
}

/// A disk behind a default window of so many pages.
fn behind_window(pages: u64) -> (Rig, Blk<VirtioModel, Model>) {
    let rig = Rig::new(Combination { secure: false, access_platform: true }, Config::sectors(8192));
    let system = rig.machine.dma_system(1);
    let window = DmaWindow::new(Model::LIOBN, 0, pages << 12).unwrap();
    let bridge = system.bridge(window, None, &Model::ram()).unwrap();
    let dma: Dma<Model> = system.device(DeviceId::from_routing(0, 0x08), true, Some(&bridge)).unwrap();
    let transport = Transport::begin(rig.device.clone(), regions(), &rig.machine).unwrap();
    let blk = Blk::probe(transport, |_| Ok::<_, BlkError>(dma)).unwrap();
    (rig, blk)
}

#[test]
fn an_exhausted_window_makes_requests_smaller_or_later_not_failed() {
    for (chunk, depth) in [(1 << 20, 4), (64 << 10, 16), (4 << 10, 64)] {
        let (rig, mut blk) = behind_window(40);
        let since = rig.machine.now();
        let mut read = Vec::new();
        blk.read_range(0..4 << 20, Plan { chunk, depth }, |_, bytes| read.extend_from_slice(bytes)).unwrap();
        assert!(read == content(4 << 20), "{chunk} {depth}");
        // What had no room is tried again when others have completed: the window has room for 64 KiB each time.
        let notified = rig.device.registers().notified.len();
        assert!(notified <= (4 << 20) / (64 << 10), "{chunk} {depth}: {notified} notifications");
        assert_works(&rig, &mut blk, since);
    }
}

#[test]
fn an_exhausted_window_is_named() {
    let (_, mut blk) = behind_window(40);
    let rejected = blk.submit_read(0, std::vec![0; 256 << 10]).unwrap_err();
    let BlkError::Dma(DmaError::Tce(TceError::NoRoom { pages, .. })) = rejected.error else {
        panic!("{}", rejected.error)
    };
    assert!(pages >= 64, "{pages}");
    assert!(rejected.error.is_temporary() && rejected.error.is_too_large());
}

#[test]
fn a_silent_disk_is_notified_again_once_in_4096_polls() {
    let rig = Rig::plain(Config::sectors(SECTORS));
    rig.disk().silent = true;
    let mut blk = rig.start();
    assert_eq!(blk.read(0, 512), Err(BlkError::Broken(BreakReason::Timeout)));
    let seconds = rig.machine.now() / rig.machine.frequency();
    let notified = rig.device.registers().notified.len();
    // A poll takes the model 10 us; the first notification is the one that announces the request.
    assert_eq!((seconds, notified), (30, 1 + 30_000_000 / (4096 * 10)));
}
