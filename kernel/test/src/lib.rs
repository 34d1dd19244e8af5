//! What the test image adds to the kernel: steps that measure it, disturb it and break its rules, tests of the machine,
//! and planted secrets. On a host the crate is empty.
#![cfg(target_os = "none")]
#![no_std]

extern crate alloc;

pub mod bench;
mod breach;
mod canary;
mod copy;
mod discard;
mod error;
mod irq_cost;
mod memory;
mod net_bench;
mod registry;
mod soak;
pub mod warm;

use canary::OnStack;
pub use error::TestError;
use postern_core::cmdline::{Extra, ExtraOption, ExtraStep, Fault, Options, Step};
use postern_core::outcome::Work;
use postern_kernel::devices::set::Devices;
use postern_kernel::jobs::ended;
use postern_kernel::memory::open::Pool;
use postern_kernel::report::Report;
use postern_kernel::{Image, NotTested};
use workloads::registry::{NoSuchTest, Selection};
use workloads::words::{TestOptions, TestStep, test_step};

/// The test image. It stays on the stack as long as the kernel runs, with the canaries in it.
#[derive(Debug, Default)]
pub struct TestImage {
    options: TestOptions,
    canary: Option<OnStack>,
}

impl Extra for TestImage {
    fn steps(&self) -> impl Iterator<Item = ExtraStep> {
        self.options.steps()
    }

    fn options(&self) -> &'static [ExtraOption] {
        self.options.options()
    }

    fn set(&mut self, option: &[u8], value: &str) -> Result<(), Fault> {
        self.options.set(option, value)
    }

    fn default_step(&self) -> Option<ExtraStep> {
        self.options.default_step()
    }

    fn check(&self, options: &Options) -> Result<(), Fault> {
        self.options.check(options)
    }
}

impl Image for TestImage {
    fn name(&self) -> &'static str {
        "postern-test"
    }

    fn memory_is_open(&mut self, pool: Option<&Pool>, report: &mut Report) {
        if let Some(pool) = pool {
            warm::all_cpus(pool);
        }
        self.canary = self.options.canary.map(|seed| canary::plant(seed, report));
        core::hint::black_box(&self.canary);
    }

    fn run(
        &mut self,
        step: ExtraStep,
        options: &Options,
        devices: &mut Devices,
        report: &mut Report,
    ) -> Work {
        let mut work = Work::default();
        let step = Step::Extra(step);
        let bench = &self.options.bench;
        match test_step(step) {
            Some(TestStep::Soak) => work.add(soak::soak(options, devices, report)),
            Some(TestStep::IrqCost) => ended(&mut work, step, irq_cost::irq_cost(devices, report)),
            Some(TestStep::NetBench) => work.add(net_bench::bench(step, options, devices, report)),
            Some(TestStep::Discard) => work.add(discard::discard(options, devices, report)),
            Some(TestStep::BenchBlk) => work.add(bench::blk(step, bench, options, devices, 1, report)),
            Some(TestStep::BenchSmp) => {
                work.add(bench::blk(step, bench, options, devices, usize::MAX, report))
            }
            Some(TestStep::BenchCopy) => ended(&mut work, step, copy::measure(bench, report)),
            Some(TestStep::BenchPool) => ended(&mut work, step, bench::pool(options, report)),
            Some(TestStep::Memory) => ended(&mut work, step, memory::fill(report)),
            Some(TestStep::Tests) => {
                work.add(registry::run(&self.options.tests, self.options.echo, options, devices, report));
            }
            Some(TestStep::Breach(rule)) => {
                ended(&mut work, step, breach::breach(rule, devices.pool, report))
            }
            None => {}
        }
        work
    }

    fn test(
        &mut self,
        list: &str,
        options: &Options,
        devices: &mut Devices,
        report: &mut Report,
    ) -> Result<(), NotTested> {
        let selection = Selection::parse(list).map_err(|NoSuchTest(item)| NotTested::NoSuchTest(item))?;
        registry::run(&selection, self.options.echo, options, devices, report);
        Ok(())
    }
}
