//! The boot order.
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
#[cfg(sabotage_careless)]
mod careless;
mod devices;
mod jobs;
mod memory;
mod mode;
mod platform;
mod report;
mod stop;
mod tree;

use devices::set::Devices;
use postern_boot as _;
use postern_core::outcome::Outcome;
use report::Report;
use stop::Stop;

/// Where `boot` hands over: little-endian, 64-bit, translation off, with the flattened device tree, and
/// 1 when this is known to be an ordinary guest.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(fdt: usize, ordinary: usize) -> ! {
    if ordinary == 1 {
        arch::disclosure::allow();
    }
    memory::heap::init_early();
    platform::logger::init();
    let mut report = Report::default();
    let status = match boot(fdt, &mut report) {
        Ok(outcome) => outcome.status(),
        Err(stop) => {
            log::error!("{stop}");
            stop.status()
        }
    };
    report.print();
    platform::power::exit(status)
}

fn boot(fdt: usize, report: &mut Report) -> Result<Outcome, Stop> {
    // SAFETY: nothing has turned translation on or started a CPU yet, and `boot` looked where the tree lies.
    let (machine, own) = unsafe { tree::read(fdt)? };
    platform::adopt(&machine);
    let options = mode::options(&machine)?;
    report.machine(&machine);
    let mode = mode::decide_mode(&machine, &options, report)?;
    #[cfg(sabotage_careless)]
    careless::say_what_is_older();
    let mut map = memory::open::map(&machine, &own, mode.is_secure())?;
    report.entropy(platform::entropy::open());
    report.handlers(arch::nmi::register(map.rtas()));
    let pool = memory::open::open(&mut map, mode.is_secure().then_some(options.pool), report)?;
    report.memory(pool.as_ref());
    report.cpus(arch::cpus::start(&machine, mode.is_secure()));
    memory::open::widen_on_others(pool.as_ref());
    let canary = options.canary.map(|seed| memory::canary::plant(seed, report));
    let mut devices = Devices::bring_up(&machine, &map, &options, pool, report);
    #[cfg(sabotage_careless)]
    careless::say_what_is_private(&mut devices);
    let work = jobs::run(&options, &mut devices, report);
    core::hint::black_box(&canary);
    report.counters(&devices);
    let outcome = Outcome { work, refused: devices.refused, exposure: report.exposure(&devices) };
    report.outcome(&outcome);
    Ok(outcome)
}
