#![allow(unsafe_code, reason = "a model of a controller implements raw calls")]

use super::*;
use crate::interrupts::Delivery;
use papr::addr::Gpa;
use papr::hcall::{Hcall, HcallError, HcallReturn};
use papr::platform::Width;
use papr::registers::Register;
use postern_cases::case;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::vec::Vec;
use testkit::unchecked::registers;

/// A model of the interrupt controller: its answers, and a record of the calls.
#[derive(Default)]
struct Controller {
    queue: RefCell<VecDeque<u32>>,
    asked: Cell<u32>,
    /// Returned again and again when the queue is empty.
    for_ever: Cell<Option<u32>>,
    /// Sources that are off; the controller may ignore it.
    off: RefCell<Vec<u32>>,
    ignores_masks: bool,
    ended: RefCell<Vec<u64>>,
    /// Reads of ISR bytes before each end of an interrupt.
    isr_reads_before_end: RefCell<Vec<usize>>,
    priority: Cell<Option<u64>>,
    ipi_cleared: Cell<u32>,
    /// Sources, and the CPU that each was routed to.
    routed: RefCell<Vec<(u32, u32)>>,
    isr_reads: RefCell<Vec<Gpa>>,
    now: Cell<u64>,
    refuses: bool,
}

impl Controller {
    fn of(words: &[u32]) -> Self {
        Self { queue: RefCell::new(words.iter().copied().collect()), ..Self::default() }
    }

    fn storm(source: u32) -> Self {
        Self { for_ever: Cell::new(Some(source)), ..Self::default() }
    }

    fn next(&self) -> u32 {
        self.asked.set(self.asked.get() + 1);
        if let Some(word) = self.queue.borrow_mut().pop_front() {
            return word;
        }
        let off = self.off.borrow();
        self.for_ever.get().filter(|source| self.ignores_masks || !off.contains(source)).unwrap_or(0)
    }
}

impl Hypervisor for Controller {
    unsafe fn hcall(&self, call: Hcall, args: [u64; 4]) -> HcallReturn {
        if self.refuses {
            return HcallReturn { status: -2, out: [0; 4] };
        }
        let mut out = [0; 4];
        match call {
            Hcall::Xirr if self.priority.get() == Some(0) => {}
            Hcall::Xirr => out[0] = u64::from(self.next()) | 0xff00_0000,
            Hcall::Eoi => {
                self.ended.borrow_mut().push(args[0]);
                self.isr_reads_before_end.borrow_mut().push(self.isr_reads.borrow().len());
            }
            Hcall::Cppr => self.priority.set(Some(args[0])),
            Hcall::Ipi => {
                assert_eq!(args[..2], [0, 0xff]);
                self.ipi_cleared.set(self.ipi_cleared.get() + 1);
            }
            other => panic!("{other:?}"),
        }
        HcallReturn { status: 0, out }
    }
}

impl Rtas for Controller {
    fn rtas(&self, service: Service, args: &[u32], _: &mut [u32]) -> Result<(), RtasError> {
        match service {
            Service::InterruptOff => self.off.borrow_mut().push(args[0]),
            Service::SetXive if self.refuses => return Err(RtasError::Parameter),
            Service::SetXive => {
                assert_eq!(args[2], 5);
                self.routed.borrow_mut().push((args[0], args[1]));
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}

fn isr(at: u64) -> Register {
    registers(Gpa(at), 1).register(0, Width::W8).unwrap()
}

// SAFETY: the registers are a model's, whose device reaches no memory of this process.
#[allow(unsafe_code, reason = "a model keeps the promises")]
unsafe impl Mmio for Controller {
    fn load(&self, register: Register) -> Result<u64, HcallError> {
        assert_eq!(register.width(), Width::W8);
        self.isr_reads.borrow_mut().push(register.gpa());
        Ok(u64::MAX)
    }
    fn store(&self, at: Register, _: u64) -> Result<(), HcallError> {
        panic!("write to {at:?}")
    }
}

impl Clock for Controller {
    fn now(&self) -> u64 {
        self.now.get()
    }
    fn frequency(&self) -> u64 {
        1000
    }
}

fn router(controller: &Controller, lines: &[IrqSource]) -> (Router, Vec<Arc<IrqSource>>) {
    let mut router = Router::new();
    let mut kept = Vec::new();
    for line in lines {
        let line = Arc::new(match line.isr() {
            Some(isr) => IrqSource::level(line.source(), isr),
            None => IrqSource::message(line.source()),
        });
        router.register(controller, line.clone(), 0).unwrap();
        kept.push(line);
    }
    (router, kept)
}

#[test]
fn message_is_counted_for_its_device_and_ended() {
    let controller = Controller::of(&[0x1300]);
    let (mut router, lines) = router(&controller, &[IrqSource::message(0x1300), IrqSource::message(0x1301)]);
    assert_eq!(router.service(&controller, 0), 1);
    assert_eq!((lines[0].arrivals(), lines[1].arrivals()), (1, 0));
    assert_eq!(*controller.ended.borrow(), [0xff00_1300]);
}

#[test]
fn one_interrupt_now_and_then_costs_two_hypercalls() {
    let controller = Controller::of(&[0x1300, 0x1301]);
    let (mut router, lines) = router(&controller, &[IrqSource::message(0x1300), IrqSource::message(0x1301)]);
    assert_eq!(router.service(&controller, 0), 1);
    assert_eq!((controller.asked.get(), controller.ended.borrow().len()), (1, 1), "H_XIRR, H_EOI");
    assert_eq!(lines[1].arrivals(), 0, "left pending, and the next sleep ends at once");
    assert_eq!(router.service(&controller, 0), 1);
    assert_eq!(lines[1].arrivals(), 1);
}

#[test]
fn source_is_routed_to_the_cpu_asked_for_and_one_that_comes_elsewhere_counts_all_the_same() {
    case!("IRQ-10", Work);
    let controller = Controller::of(&[0x1300, 0x1301]);
    let mut router = Router::new();
    let lines = [0x1300, 0x1301].map(|source| Arc::new(IrqSource::message(source)));
    for (line, server) in lines.iter().zip([8, 9]) {
        assert_eq!(line.taken_by(), None);
        router.register(&controller, line.clone(), server).unwrap();
    }
    assert_eq!(*controller.routed.borrow(), [(0x1300, 8), (0x1301, 9)]);
    router.service(&controller, 9);
    router.service(&controller, 9);
    assert!(lines.iter().all(|line| line.arrivals() == 1 && line.taken_by() == Some(9)));
    assert_eq!(router.statistics().unknown, 0);
}

#[test]
fn a_level_source_is_acknowledged_at_every_device_that_shares_it_before_its_end() {
    let controller = Controller::of(&[0x1200]);
    let (mut router, lines) =
        router(&controller, &[IrqSource::level(0x1200, isr(0x10)), IrqSource::level(0x1200, isr(0x20))]);
    router.service(&controller, 0);
    assert_eq!(*controller.isr_reads.borrow(), [Gpa(0x10), Gpa(0x20)]);
    assert_eq!(*controller.isr_reads_before_end.borrow(), [2]);
    assert!(lines.iter().all(|line| line.arrivals() == 1));
}

#[test]
fn unknown_source_is_acknowledged_masked_and_counted_not_dispatched() {
    case!("IRQ-01", Ignore);
    let controller = Controller::of(&[0x1305]);
    let (mut router, lines) = router(&controller, &[IrqSource::message(0x1300)]);
    router.service(&controller, 0);
    assert_eq!(*controller.off.borrow(), [0x1305]);
    assert_eq!(*controller.ended.borrow(), [0xff00_1305]);
    assert_eq!(router.statistics().unknown, 1);
    assert_eq!(lines[0].arrivals(), 0);
}

#[test]
fn no_interrupt_and_an_ipi_are_no_sources() {
    case!("IRQ-03", Ignore);
    let controller = Controller::of(&[2]);
    let mut router = Router::new();
    assert_eq!(router.service(&controller, 0), 1);
    assert_eq!(router.service(&controller, 0), 0);
    assert_eq!((router.statistics().ipis, router.statistics().spurious), (1, 1));
    assert_eq!(controller.ipi_cleared.get(), 1, "or it would arrive again");
    assert!(controller.off.borrow().is_empty());
}

#[test]
fn storm_is_masked_and_its_device_polled() {
    case!("IRQ-02", Fallback);
    let controller = Controller::storm(0x1200);
    let (mut router, lines) =
        router(&controller, &[IrqSource::level(0x1200, isr(0x10)), IrqSource::message(0x1300)]);
    let mut taken = 0;
    while lines[0].delivery() == Delivery::Level {
        taken += router.service(&controller, 0);
        assert!(taken <= STORM, "{taken}");
    }
    assert_eq!(*controller.off.borrow(), [0x1200]);
    assert_eq!(lines[1].delivery(), Delivery::MsiX, "the other source is not affected");
    assert_eq!(router.service(&controller, 0), 0);
}

#[test]
fn as_many_interrupts_over_a_longer_time_are_no_storm() {
    let controller = Controller::storm(0x1300);
    let (mut router, lines) = router(&controller, &[IrqSource::message(0x1300)]);
    for _ in 0..1000 {
        router.service(&controller, 0);
        controller.now.set(controller.now.get() + 10);
    }
    assert_eq!(lines[0].delivery(), Delivery::MsiX);
}

#[test]
fn storm_with_a_stalled_clock_ends_too() {
    case!("IRQ-02", Fallback);
    case!("IRQ-06", Work);
    let controller = Controller::storm(0x1300);
    let (mut router, lines) = router(&controller, &[IrqSource::message(0x1300)]);
    (0..1000).for_each(|_| _ = router.service(&controller, 0));
    assert_eq!(lines[0].delivery(), Delivery::Poll);
}

#[test]
fn one_service_is_bounded_for_any_controller() {
    let controller = Controller { ignores_masks: true, ..Controller::storm(0x1777) };
    assert_eq!(Router::new().service(&controller, 0), AT_ONCE);
}

#[test]
fn a_controller_that_does_not_mask_is_shut_off() {
    let controller = Controller { ignores_masks: true, ..Controller::storm(0x1777) };
    let (mut router, lines) = router(&controller, &[IrqSource::message(0x1300)]);
    let mut services = 0;
    while router.service(&controller, 0) > 0 {
        services += 1;
        assert!(services < 2000);
    }
    assert_eq!(lines[0].delivery(), Delivery::Poll);
    assert_eq!(controller.priority.get(), Some(0));
    assert_eq!(controller.ended.borrow().last(), Some(&0x1777), "the end does not open it again");
}

#[test]
fn a_controller_without_hcalls_delivers_nothing() {
    let controller = Controller { refuses: true, ..Controller::storm(0x1300) };
    let mut router = Router::new();
    assert_eq!(router.service(&controller, 0), 0);
    assert!(!Router::open(&controller));
    let line = Arc::new(IrqSource::message(0x1300));
    assert_eq!(router.register(&controller, line, 0), Err(RtasError::Parameter));
}
