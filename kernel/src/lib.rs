//! The kernel: the boot order, and what every image has.
//!
//! An image is a crate with a `kernel_main` that calls [`start`]. `postern` is the product, `main.rs` beside this file;
//! `postern-test` and `postern-virtio-drivers` add steps of `run=` of their own by [`Image`].
//! On a host the crate is empty.
#![cfg(target_os = "none")]
#![no_std]

extern crate alloc;

pub mod arch;
#[cfg(sabotage_careless)]
mod careless;
pub mod devices;
mod image;
pub mod jobs;
pub mod memory;
mod mode;
pub mod platform;
pub mod report;
mod secret;
mod stop;
mod tree;

use devices::set::Devices;
pub use image::{Image, NotTested};
use postern_boot as _;
use postern_core::outcome::Outcome;
use report::Report;
pub use stop::{Failed, Stop};

/// Runs an image from the point where `boot` hands over: little-endian, 64-bit, translation off, with the flattened device
/// tree at `fdt`, and `ordinary` 1 when this is known to be an ordinary guest.
///
/// # Safety
/// The machine is as `boot` leaves it, and this is the only call.
pub unsafe fn start(fdt: usize, ordinary: usize, image: &mut impl Image) -> ! {
    if ordinary == 1 {
        arch::disclosure::allow();
    }
    memory::heap::init_early();
    platform::logger::init();
    let mut report = Report::default();
    // SAFETY: as the caller promises.
    let status = match unsafe { boot(fdt, image, &mut report) } {
        Ok(outcome) => outcome.status(),
        Err(stop) => {
            log::error!("{stop}");
            stop.status()
        }
    };
    report.print();
    platform::power::exit(status)
}

/// # Safety
/// As for [`start`].
unsafe fn boot(fdt: usize, image: &mut impl Image, report: &mut Report) -> Result<Outcome, Stop> {
    // SAFETY: nothing has turned translation on or started a CPU yet, and the boot stage checked where the tree lies.
    let (machine, own) = unsafe { tree::read(fdt)? };
    platform::init(&machine);
    let options = mode::options(&machine, image)?;
    report.machine(image.name(), &machine);
    let mode = mode::decide_mode(&machine, &options, image, report)?;
    #[cfg(sabotage_careless)]
    careless::say_what_is_older();
    let mut map = memory::open::map(&machine, &own, mode.is_secure())?;
    platform::entropy::open();
    report.handlers(arch::nmi::register(map.rtas()));
    let secret = secret::fetch(&options, mode, report)?;
    let pool = memory::open::open(&mut map, mode.is_secure().then_some(options.pool), report)?;
    report.memory(pool.as_ref());
    report.cpus(arch::cpus::start(&machine, mode.is_secure()));
    image.memory_is_open(pool.as_ref(), report);
    let mut devices = Devices::bring_up(&machine, &map, &options, pool, report);
    report.entropy(platform::entropy::sources(mode.is_secure()));
    #[cfg(sabotage_careless)]
    careless::say_what_is_private(&mut devices);
    let work = jobs::run(&options, image, &mut devices, report);
    drop(secret);
    report.resizes(&mut devices);
    devices.name_new();
    report.counters(&devices);
    let outcome = Outcome { work, refused: devices.refused, exposure: report.exposure(&devices) };
    report.outcome(&outcome);
    Ok(outcome)
}
