//! An image for comparisons only: its `bench-blk` uses the disk driver of the crate virtio-drivers, on the same disk,
//! through the same pool, measured in the same way.
#![no_std]
#![no_main]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "the crate that is compared with has traits that cannot fail, and trusts its device"
)]

extern crate alloc;

mod disk;
mod error;
mod hal;
mod registers;

use disk::Other;
use error::OtherError;
use postern_core::cmdline::{Extra, ExtraOption, ExtraStep, Fault, Options, Step};
use postern_core::outcome::Work;
use postern_kernel::Image;
use postern_kernel::devices::set::{Devices, Disk};
use postern_kernel::memory::open::Pool;
use postern_kernel::report::Report;
use postern_test::{bench, warm};
use workloads::bench::Content;
use workloads::words::{TestOptions, TestStep, test_step};
use workloads::work::Work as DiskWork;

/// Called by the boot stage.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(fdt: usize, ordinary: usize) -> ! {
    // SAFETY: `boot` calls this once, with the machine as it left it.
    unsafe { postern_kernel::start(fdt, ordinary, &mut OtherImage(TestOptions::default())) }
}

/// The test image's options, of which it takes `bench=` only.
struct OtherImage(TestOptions);

impl Extra for OtherImage {
    fn steps(&self) -> impl Iterator<Item = ExtraStep> {
        self.0.steps().filter(|step| test_step(Step::Extra(*step)) == Some(TestStep::BenchBlk))
    }

    fn options(&self) -> &'static [ExtraOption] {
        const BENCH: &[ExtraOption] = &[ExtraOption { name: b"bench", with_any_step: false }];
        BENCH
    }

    fn set(&mut self, option: &[u8], value: &str) -> Result<(), Fault> {
        self.0.set(option, value)
    }

    fn check(&self, options: &Options) -> Result<(), Fault> {
        self.0.check(options)
    }
}

impl Image for OtherImage {
    fn name(&self) -> &'static str {
        "postern-virtio-drivers"
    }

    fn memory_is_open(&mut self, pool: Option<&Pool>, _: &mut Report) {
        if let Some(pool) = pool {
            warm::all_cpus(pool);
        }
    }

    fn run(
        &mut self,
        step: ExtraStep,
        options: &Options,
        devices: &mut Devices,
        report: &mut Report,
    ) -> Work {
        let pool = devices.pool;
        bench::by_driver(Step::Extra(step), &self.0.bench, options, devices, report, |disk| {
            let mut driver = Other::take(disk, pool)?;
            Ok::<_, OtherError>(move |_: &mut Disk, work: DiskWork, content: Content| {
                driver.run(work, content).map(|measured| measured.map(|one| alloc::vec![one]))
            })
        })
    }
}
