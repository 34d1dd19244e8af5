//! Waiting by interrupt: one that comes, one that does not, and none at all.

use postern_cases::case;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::vec::Vec;
use testkit::blk_model::{Config, Rig, content};
use testkit::model::Model;
use testkit::virtio_model::{VirtioModel, regions};
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::{BlkError, BreakReason};
use virtio_pci::interrupts::{Delivery, IrqSource};
use virtio_pci::virtio::transport::Transport;

/// A disk that works while the CPU is ceded, with or without an interrupt.
struct Lazy {
    rig: Rig,
    line: Arc<IrqSource>,
    cedes: Arc<AtomicU32>,
}

impl Lazy {
    fn new(announces: bool, ever_answers: bool) -> Self {
        let rig = Rig::secure(Config::sectors(64));
        let line = Arc::new(IrqSource::message(0x1300));
        let cedes = Arc::new(AtomicU32::new(0));
        let (device, lazy, told, counted) =
            (rig.device.clone(), rig.disk_handle(), line.clone(), cedes.clone());
        rig.machine.on_idle(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            if ever_answers {
                lazy.lock().unwrap().silent = false;
                device.act(0);
                lazy.lock().unwrap().silent = true;
            }
            if announces {
                told.arrived(0);
            }
            announces
        });
        Self { rig, line, cedes }
    }

    fn start(&self) -> Blk<VirtioModel, Model> {
        let mut transport = Transport::begin(self.rig.device.clone(), regions(), &self.rig.machine).unwrap();
        transport.add_line(self.line.clone());
        let dma = |translated| Ok::<_, BlkError>(self.rig.machine.dma(translated));
        let blk = Blk::probe(transport, dma).unwrap();
        self.rig.disk().silent = true;
        blk
    }

    fn cedes(&self) -> u32 {
        self.cedes.load(Ordering::Relaxed)
    }
}

#[test]
fn the_driver_sleeps_until_the_request_s_interrupt() {
    let lazy = Lazy::new(true, true);
    let mut blk = lazy.start();
    for _ in 0..100 {
        assert_eq!(blk.read(0, 512).unwrap(), content(512));
    }
    assert_eq!(lazy.cedes(), 100, "one cede each");
    assert_eq!(lazy.line.delivery(), Delivery::MsiX);
}

#[test]
fn interrupts_that_never_come_cost_time_only_and_then_the_disk_is_polled() {
    case!("IRQ-04", Work);
    let lazy = Lazy::new(false, true);
    let mut blk = lazy.start();
    for _ in 0..8 {
        assert_eq!(blk.read(0, 512).unwrap(), content(512));
    }
    assert_eq!(lazy.line.delivery(), Delivery::Poll);
    lazy.rig.disk().silent = false;
    assert_eq!(blk.read(0, 512).unwrap(), content(512));
    assert_eq!(lazy.cedes(), 8, "none since");
}

#[test]
fn silent_disk_is_broken_in_time_whether_interrupts_come_or_not_and_the_clock_runs_or_not() {
    case!("IRQ-06", Work);
    for announces in [false, true] {
        for clock_runs in [false, true] {
            let lazy = Lazy::new(announces, false);
            let mut blk = lazy.start();
            blk.set_timeout(Duration::from_millis(20));
            lazy.rig.machine.set_clock_runs(clock_runs);
            assert_eq!(blk.read(0, 512), Err(BlkError::Broken(BreakReason::Timeout)));
        }
    }
}

#[test]
fn device_is_asked_for_interrupts_only_while_they_are_waited_for() {
    let lazy = Lazy::new(true, true);
    let (device, line) = (lazy.rig.device.clone(), lazy.line.clone());
    let mut blk = lazy.start();
    let flags = {
        let device = device.clone();
        move || {
            let registers = device.registers();
            let queue = &registers.queues[0];
            queue.bus.read16(queue.available).unwrap()
        }
    };
    assert_eq!(flags(), 1, "NO_INTERRUPT");
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (note, at_cede, lazily) = (seen.clone(), flags.clone(), lazy.rig.disk_handle());
    lazy.rig.machine.on_idle(move || {
        note.lock().unwrap().push(at_cede());
        lazily.lock().unwrap().silent = false;
        device.act(0);
        line.arrived(0);
        true
    });
    blk.read(0, 512).unwrap();
    assert_eq!(*seen.lock().unwrap(), [0]);
    assert_eq!(flags(), 1);
}
