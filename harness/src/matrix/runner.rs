//! Runs boot tests, a few at a time, and counts.

use crate::guest::console::tail;
use crate::interrupt;
use crate::matrix::scene::{Context, Failure};
use crate::matrix::{
    bus, cells, device_tree, entry, esm, faults, honesty, host, idle, injection, input, interrupts,
    leak_hunt, lies, malformed_tree, measured, memory, negotiation, network, nmi, noise, pause, proofs,
    ranges, refusing, registers, reserved, rtas_model, sabotage, smp, soak, strays, strict, strings,
};
use crate::options::Options;
use crate::run::{FAILED, FINDINGS, INTERRUPTED};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Where console logs of failed tests stay.
const LOGS: &str = "build/logs";
/// Lines of them that are shown.
const TAIL: usize = 30;

/// What a test does.
pub type Body = Box<dyn Fn(&Context) -> Result<(), Failure> + Send + Sync>;

/// A boot test.
pub struct Test {
    /// Words joined by slashes.
    pub name: String,
    /// What it does.
    pub body: Body,
}

impl Test {
    /// A test.
    pub fn new(
        name: impl Into<String>,
        body: impl Fn(&Context) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), body: Box::new(body) }
    }
}

fn all(filters: &[String]) -> Vec<Test> {
    let mut tests = cells::tests();
    tests.extend(device_tree::tests());
    tests.extend(malformed_tree::tests());
    tests.extend(measured::tests());
    tests.extend(memory::tests());
    tests.extend(network::tests());
    tests.extend(faults::tests());
    tests.extend(esm::tests());
    tests.extend(input::tests());
    tests.extend(sabotage::tests());
    tests.extend(interrupts::tests());
    tests.extend(idle::tests());
    tests.extend(smp::tests());
    tests.extend(nmi::tests());
    tests.extend(entry::tests());
    tests.extend(negotiation::tests());
    tests.extend(strict::tests());
    tests.extend(strings::tests());
    tests.extend(refusing::tests());
    tests.extend(lies::tests());
    tests.extend(honesty::tests());
    tests.extend(host::tests());
    tests.extend(injection::tests());
    tests.extend(pause::tests());
    tests.extend(strays::tests());
    tests.extend(registers::tests());
    tests.extend(rtas_model::tests());
    tests.extend(bus::tests());
    tests.extend(proofs::tests());
    tests.extend(ranges::tests());
    tests.extend(reserved::tests());
    tests.extend(leak_hunt::tests());
    tests.extend(noise::tests());
    tests.extend(soak::tests());
    tests.retain(|test| filters.is_empty() || filters.iter().any(|part| test.name.contains(part.as_str())));
    tests
}

/// Prints the names.
#[must_use]
pub fn list(options: &Options) -> u8 {
    for test in all(&options.filters) {
        println!("{}", test.name);
    }
    0
}

fn context(options: &Options) -> Context {
    Context {
        qemu: options.qemu.clone(),
        kernel: options.kernel.clone(),
        sabotage: options.sabotage.clone(),
        skip_bounce: options.skip_bounce.clone(),
        rom: options.rom.clone(),
    }
}

/// Runs the long soak, as the one test that it is, and answers the exit status.
#[must_use]
pub fn soak(options: &Options) -> u8 {
    let test = soak::long(options.time, options.seed);
    let passed = one(&test, &context(options));
    if interrupt::requested() {
        return INTERRUPTED;
    }
    println!("{} passed, {} failed", u8::from(passed), u8::from(!passed));
    if passed { 0 } else { FAILED }
}

/// Runs the tests and answers the exit status.
#[must_use]
pub fn test(options: &Options) -> u8 {
    let tests = all(&options.filters);
    if tests.is_empty() {
        eprintln!("postern: no boot test's name contains {}", options.filters.join(" or "));
        return FAILED;
    }
    let context = context(options);
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let passed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.min(tests.len()) {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if interrupt::requested() {
                        break;
                    }
                    match one(test, &context) {
                        true => drop(passed.fetch_add(1, Ordering::Relaxed)),
                        false => failed.lock().unwrap_or_else(|e| e.into_inner()).push(test.name.as_str()),
                    }
                }
            });
        }
    });
    if interrupt::requested() {
        eprintln!("postern: interrupted");
        return INTERRUPTED;
    }
    let mut failed = failed.into_inner().unwrap_or_else(|e| e.into_inner());
    failed.sort_unstable();
    for name in &failed {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", passed.into_inner(), failed.len());
    if failed.is_empty() { 0 } else { FAILED }
}

/// Runs one test and prints what became of it, in one piece.
fn one(test: &Test, context: &Context) -> bool {
    let started = Instant::now();
    let result = (test.body)(context);
    let seconds = started.elapsed().as_secs_f32();
    let mut text = Vec::new();
    // Writing to memory does not fail.
    drop(match &result {
        Ok(()) => writeln!(text, "ok   {:<40} {seconds:5.1} s", test.name),
        Err(_) if interrupt::requested() => Ok(()),
        Err(failure) => describe(&mut text, &test.name, seconds, failure),
    });
    drop(io::stdout().lock().write_all(&text));
    result.is_ok()
}

fn describe(text: &mut Vec<u8>, name: &str, seconds: f32, failure: &Failure) -> io::Result<()> {
    writeln!(text, "FAIL {name:<40} {seconds:5.1} s")?;
    for finding in failure.findings.iter().take(FINDINGS) {
        writeln!(text, "     {finding}")?;
    }
    if let Some(more @ 1..) = failure.findings.len().checked_sub(FINDINGS) {
        writeln!(text, "     and {more} more")?;
    }
    let Some(output) = &failure.output else { return Ok(()) };
    for line in tail(output.errors.trim_end(), TAIL) {
        writeln!(text, "     qemu| {line}")?;
    }
    for line in tail(output.console.trim_end(), TAIL) {
        writeln!(text, "     | {}", line.trim_end())?;
    }
    match keep(name, &output.console) {
        Ok(path) => writeln!(text, "     console log kept in {}", path.display()),
        Err(error) => writeln!(text, "     console log not kept: {error}"),
    }
}

fn keep(name: &str, log: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(LOGS)?;
    let path = Path::new(LOGS).join(format!("{}.log", name.replace(['/', ' '], "-")));
    std::fs::write(&path, log)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let tests = all(&[]);
        let names: BTreeSet<_> = tests.iter().map(|test| &test.name).collect();
        assert_eq!(names.len(), tests.len());
    }

    #[test]
    fn every_cell_of_the_matrix_is_there() {
        let names: BTreeSet<_> = all(&[]).into_iter().map(|test| test.name).collect();
        for firmware in ["slof", "vof", "bios"] {
            for mode in ["secure", "normal"] {
                for ap in ["ap-on", "ap-off"] {
                    assert!(names.contains(&format!("{firmware}/{mode}/{ap}")), "{firmware}/{mode}/{ap}");
                }
            }
        }
    }

    #[test]
    fn a_filter_that_fits_nothing_is_a_failure() {
        let options = Options { filters: vec!["no such test".to_owned()], ..Options::default() };
        assert_eq!(test(&options), FAILED);
    }

    #[test]
    fn failures_make_the_status() {
        let context = Context::for_tests();
        assert!(one(&Test::new("good", |_| Ok(())), &context));
        assert!(!one(&Test::new("bad", |_| Err(Failure { findings: vec![], output: None })), &context));
    }
}
