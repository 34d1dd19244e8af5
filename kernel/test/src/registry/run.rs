//! Runs the tests that `test=` names, one after another, and reports them by TAP.

use super::guest::Guest;
use super::not_ok::NotOk;
use super::requirements::{delivers, has_interrupts, met};
use super::{
    blk, blk_ranges, blk_shape, clock, console, dma, exceptions, hcalls, irq, memory, mmu, net, pci, pool,
    rng, rtas, smp,
};
use core::net::Ipv4Addr;
use postern_core::cmdline::Options;
use postern_core::exit::ExitStatus;
use postern_core::facts::end;
use postern_core::outcome::Work;
use postern_kernel::devices::set::Devices;
use postern_kernel::println;
use postern_kernel::report::Report;
use virtio_pci::interrupts::Delivery;
use workloads::registry::tap::{BLOCK, Line, Plan, Reason, VERSION, Verdict};
use workloads::registry::{Selection, Test};

/// Runs the tests. A skipped test is no piece of work, so that a run of skips alone has found nothing to do.
///
/// `echo` is a host that echoes TCP.
pub fn run(
    selection: &Selection,
    echo: Option<Ipv4Addr>,
    options: &Options,
    devices: &mut Devices,
    report: &mut Report,
) -> Work {
    let mut guest = Guest { options, echo, devices, report, no_address: false };
    let (mut work, mut counts) = (Work::default(), [0u64; 3]);
    println!("{VERSION}");
    println!("{}", Plan(selection.entries().count()));
    for (number, entry) in (1..).zip(selection.entries()) {
        let missing = entry.requires.iter().find(|requirement| !met(**requirement, &mut guest));
        let verdict = match missing {
            Some(requirement) => Verdict::Skip(*requirement),
            None => match one(entry.test, &mut guest) {
                Ok(()) => Verdict::Ok,
                Err(reason) => Verdict::NotOk(reason),
            },
        };
        println!("{}", Line { number, entry, verdict: &verdict });
        let [ok, failed, skipped] = &mut counts;
        let count = match &verdict {
            Verdict::Ok => ok,
            Verdict::NotOk(_) => failed,
            Verdict::Skip(_) => skipped,
        };
        *count = count.saturating_add(1);
        match &verdict {
            Verdict::Ok => work.note(Ok(())),
            Verdict::NotOk(reason) => {
                let [open, close] = BLOCK;
                println!("{open}");
                println!("{}", Reason(reason));
                println!("{close}");
                work.note(Err(ExitStatus::TestFailed));
            }
            Verdict::Skip(_) => {}
        }
    }
    let [ok, failed, skipped] = counts;
    let asked = ok.saturating_add(failed).saturating_add(skipped);
    println!("# {asked} tests: {ok} ok, {failed} not ok, {skipped} skipped");
    let facts = [
        (end::TESTS_ASKED, asked),
        (end::TESTS_OK, ok),
        (end::TESTS_FAILED, failed),
        (end::TESTS_SKIPPED, skipped),
    ];
    for (name, count) in facts {
        guest.report.fact(name, count);
    }
    work
}

/// The code of each test.
fn one(test: Test, guest: &mut Guest<'_>) -> Result<(), NotOk> {
    match test {
        Test::ConsoleTerminal => console::terminal(),
        Test::ClockTimebase => clock::timebase(),
        Test::ClockDate => clock::date(),
        Test::MemoryMarks => memory::marks(),
        Test::MmuTextWrite => mmu::text_write(),
        Test::MmuDataExecute => mmu::data_execute(),
        Test::MmuStackExecute => mmu::stack_execute(),
        Test::MmuPoolExecute => mmu::pool_execute(guest),
        Test::MmuNullRead => mmu::null_read(),
        Test::MmuGuardWrite => mmu::guard_write(),
        Test::ExceptionTrap => exceptions::trap(),
        Test::ExceptionAlignment => exceptions::alignment(),
        Test::ExceptionUltracall => exceptions::ultracall(),
        Test::HcallUnknown => hcalls::unknown(),
        Test::HcallParameter => hcalls::parameter(),
        Test::IrqDecrementer => irq::decrementer(),
        Test::RtasParameter => rtas::parameter(),
        Test::IrqDevice => irq::device(guest, has_interrupts),
        Test::IrqMessage => irq::device(guest, |disk| delivers(disk, Delivery::MsiX)),
        Test::IrqLevel => irq::device(guest, |disk| delivers(disk, Delivery::Level)),
        Test::IrqIpi => irq::ipi(),
        Test::IrqSystemReset => irq::system_reset(),
        Test::SmpWork => smp::work(guest),
        Test::PciConfig => pci::config(guest),
        Test::PciAbsent => pci::absent(guest),
        Test::TcePool => dma::pool_window(guest),
        Test::TceDirect => dma::direct_window(guest),
        Test::TceOnDemand => dma::on_demand_window(guest),
        Test::PoolSlots => pool::slots(guest),
        Test::PoolBounce => pool::bounce(guest),
        Test::SecureExposed => pool::exposed(guest),
        Test::BlkRead => blk::read(guest),
        Test::BlkId => blk::id(guest),
        Test::BlkLimits => blk::limits(guest),
        Test::BlkReadOnly => blk::read_only(guest),
        Test::BlkWrite => blk::write(guest),
        Test::BlkFlush => blk::flush(guest),
        Test::BlkDiscard => blk_ranges::discard(guest),
        Test::BlkWriteZeroes => blk_ranges::write_zeroes(guest),
        Test::BlkSegments => blk_shape::segments(guest),
        Test::BlkTopology => blk_shape::topology(guest),
        Test::BlkResize => blk_shape::resize(guest),
        Test::BlkQueues => blk::queues(guest),
        Test::RngBytes => rng::bytes(guest),
        Test::NetLink => net::link(guest),
        Test::NetUdp => net::udp(guest),
        Test::NetArp => net::arp(guest),
        Test::NetIcmp => net::icmp(guest),
        Test::NetMtu => net::mtu(guest),
        Test::NetTcp => net::tcp(guest),
    }
}
