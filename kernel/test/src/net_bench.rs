//! `net-bench`: network services that the host measures.

use alloc::format;
use core::time::Duration;
use papr::clock::Clock;
use postern_core::cmdline::{Options, Step};
use postern_core::facts::card::{DISCARDED, MARK_IDLE, MARK_TICKS, PING_US};
use postern_core::outcome::Work;
use postern_kernel::devices::DeviceError;
use postern_kernel::devices::set::{Card, Devices};
use postern_kernel::jobs::ended;
use postern_kernel::jobs::net::{PING_WAIT, first_with_address, serve_and};
use postern_kernel::platform::interrupts;
use postern_kernel::platform::pseries::Pseries;
use postern_kernel::println;
use postern_kernel::report::Report;
use workloads::one_way;

const PINGS: usize = 101;
/// What a script types to learn the time so far and the idle part of it.
const MARK: u8 = b'm';

/// States the median of several pings, then serves as `net-serve` does, with the one-way services besides.
pub fn bench(step: Step, options: &Options, devices: &mut Devices, report: &mut Report) -> Work {
    let mut work = Work::default();
    let Some(card) = first_with_address(step, &mut devices.cards, &mut work, report) else { return work };
    let number = card.number;
    let label = format!("net{number}");
    ended(&mut work, &label, ping_median(card, report));
    let one_way = one_way::offer(&mut card.stack);
    let mut marks = 0usize;
    let mark = |typed| {
        if typed == MARK {
            // Not part of the report, which would grow with what is typed.
            println!("{}", MARK_TICKS.at([number, marks]).line(Pseries.now()));
            println!("{}", MARK_IDLE.at([number, marks]).line(interrupts::given_up()));
            marks = marks.wrapping_add(1);
        }
    };
    let served = serve_and(options, card, report, mark, |_, _| {});
    ended(&mut work, &label, served);
    let traffic = card.stack.service(&one_way).map(|offered| offered.service.counters());
    card.stack.close(one_way);
    report.fact(DISCARDED.at(card.number), traffic.unwrap_or_default().discarded_datagrams);
    work
}

fn ping_median(card: &mut Card, report: &mut Report) -> Result<(), DeviceError> {
    let label = format!("net{}", card.number);
    let Some(gateway) = card.stack.gateway()? else {
        report.step(&label, "no gateway to ping");
        return Ok(());
    };
    let mut times = [Duration::ZERO; PINGS];
    for time in &mut times {
        *time = card.stack.ping(&Pseries, gateway, PING_WAIT)?;
    }
    times.sort_unstable();
    report.fact(PING_US.at(card.number), times[PINGS / 2].as_micros());
    Ok(())
}
