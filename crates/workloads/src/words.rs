//! The words that the test image adds to the command line: its steps, `bench=` and `canary=`.

use crate::registry::{NoSuchTest, Selection};
use crate::work::{MAX_WORK, Work};
use arrayvec::ArrayVec;
use core::net::Ipv4Addr;
use postern_core::cmdline::{Extra, ExtraOption, ExtraStep, Fault, Options, Step, number};

/// What a step of the test image does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestStep {
    /// Random work on all devices, which are reset now and then; at the end everything is given back.
    Soak,
    /// The cost of a 4 KiB read, polled and by interrupt.
    IrqCost,
    /// Serve as `net-serve` does, and one-way traffic for measurements.
    NetBench,
    /// Discard and write zeroes on the scratch disk.
    Discard,
    /// Measure the disk work of `bench=` on the scratch disk.
    BenchBlk,
    /// The same on all its queues at once, each by a CPU of its own.
    BenchSmp,
    /// Measure taking and giving back slots of a pool, by how full it is.
    BenchPool,
    /// Copy private memory to private memory, as much as the work of `bench=` reads or writes.
    BenchCopy,
    /// Take all memory there is, mark it, find the marks again.
    Memory,
    /// The tests of `test=`.
    Tests,
    /// Break a rule of the memory map: the run must end with an exception.
    Breach(Breach),
}

/// Rules of the memory map, by how they are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Write to instructions.
    TextWrite,
    /// Execute data.
    DataExecute,
    /// Execute from the shared pool.
    PoolExecute,
    /// Execute from the stack.
    StackExecute,
    /// Read near address 0.
    NullRead,
    /// Use more stack than there is.
    StackOverflow,
    /// The same, on another CPU.
    OtherStackOverflow,
}

const SERVES: &[&[u8]] = &[b"ip", b"gw", b"serve"];
const MEASURES: &[&[u8]] = &[b"seed", b"bench"];

/// Every step of the test image.
pub const STEPS: [(ExtraStep, TestStep); 17] = [
    step("soak", true, &[b"ip", b"gw", b"seed", b"serve"], TestStep::Soak),
    step("irq-cost", false, &[], TestStep::IrqCost),
    step("net-bench", false, SERVES, TestStep::NetBench),
    step("blk-discard", true, &[b"seed"], TestStep::Discard),
    step("bench-blk", true, MEASURES, TestStep::BenchBlk),
    step("bench-smp", true, MEASURES, TestStep::BenchSmp),
    step("bench-pool", false, &[b"pool"], TestStep::BenchPool),
    step("bench-copy", false, &[b"bench"], TestStep::BenchCopy),
    step("memory", false, &[], TestStep::Memory),
    (TESTS_STEP, TestStep::Tests),
    breach("breach-text-write", Breach::TextWrite),
    breach("breach-data-execute", Breach::DataExecute),
    breach("breach-pool-execute", Breach::PoolExecute),
    breach("breach-stack-execute", Breach::StackExecute),
    breach("breach-null-read", Breach::NullRead),
    breach("breach-stack-overflow", Breach::StackOverflow),
    breach("breach-other-stack-overflow", Breach::OtherStackOverflow),
];

/// The step that `test=` makes the default.
const TESTS_STEP: ExtraStep =
    ExtraStep { name: "tests", writes_scratch: true, looks_at: &[b"ip", b"gw", b"seed", b"test", b"echo"] };

const fn step(
    name: &'static str,
    writes_scratch: bool,
    looks_at: &'static [&'static [u8]],
    does: TestStep,
) -> (ExtraStep, TestStep) {
    (ExtraStep { name, writes_scratch, looks_at }, does)
}

const fn breach(name: &'static str, breach: Breach) -> (ExtraStep, TestStep) {
    step(name, false, &[], TestStep::Breach(breach))
}

/// The test image's step for a step of the command line; `None` for a step of the product.
#[must_use]
pub fn test_step(step: Step) -> Option<TestStep> {
    let Step::Extra(step) = step else { return None };
    STEPS.iter().find(|(known, _)| *known == step).map(|(_, does)| *does)
}

/// The options that the test image adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestOptions {
    /// `bench=WORK,..`: what `bench-blk`, `bench-smp` and `bench-copy` measure, in order.
    pub bench: ArrayVec<Work, MAX_WORK>,
    /// `canary=N`: plant secrets of this seed in private memory, for a search from outside.
    pub canary: Option<u64>,
    /// `test=NAME,..`: what `tests` runs.
    pub tests: Selection,
    /// `echo=A.B.C.D`: a host that echoes TCP.
    pub echo: Option<Ipv4Addr>,
}

impl Extra for TestOptions {
    fn steps(&self) -> impl Iterator<Item = ExtraStep> {
        STEPS.iter().map(|(step, _)| *step)
    }

    fn options(&self) -> &'static [ExtraOption] {
        &[
            ExtraOption { name: b"bench", with_any_step: false },
            ExtraOption { name: b"canary", with_any_step: true },
            ExtraOption { name: b"test", with_any_step: false },
            ExtraOption { name: b"echo", with_any_step: false },
        ]
    }

    fn set(&mut self, option: &[u8], value: &str) -> Result<(), Fault> {
        match option {
            b"bench" => self.bench = bench(value)?,
            b"test" => self.tests = tests(value)?,
            b"echo" => {
                let host: Option<Ipv4Addr> = value.parse().ok();
                let host = host
                    .filter(|host| !host.is_unspecified() && !host.is_multicast() && !host.is_broadcast());
                self.echo = Some(host.ok_or(Fault::Expected("the IPv4 address of a host"))?);
            }
            _ => self.canary = Some(number(value).ok_or(Fault::Expected("a 64-bit number"))?),
        }
        Ok(())
    }

    fn default_step(&self) -> Option<ExtraStep> {
        (!self.tests.is_empty()).then_some(TESTS_STEP)
    }

    fn check(&self, options: &Options) -> Result<(), Fault> {
        let looks_at = |option: &'static [u8]| {
            options
                .run
                .iter()
                .any(|step| matches!(step, Step::Extra(step) if step.looks_at.contains(&option)))
        };
        if self.bench.is_empty() && looks_at(b"bench") {
            return Err(Fault::Needs("bench=WORK,.."));
        }
        if self.tests.is_empty() && looks_at(b"test") {
            return Err(Fault::Needs("test=NAME,.. or test=all"));
        }
        Ok(())
    }
}

fn tests(value: &str) -> Result<Selection, Fault> {
    const FORM: &str = "the name of a test, a pattern such as blk/*, or all";
    Selection::parse(value).map_err(|NoSuchTest(number)| Fault::Item(number, FORM))
}

fn bench(value: &str) -> Result<ArrayVec<Work, MAX_WORK>, Fault> {
    let mut all = ArrayVec::new();
    for text in value.split(',') {
        let work = Work::parse(text);
        let work = work.ok_or(Fault::Expected("a list of read|write:SIZE:DEPTH:seq|random:MILLISECONDS"))?;
        all.try_push(work).map_err(|_| Fault::Expected("at most 32 pieces of work"))?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
