//! Runs boot tests, a few at a time, and counts the results.

use crate::guest::console::tail;
use crate::interrupt;
use crate::json_lines;
use crate::junit::{Outcome, Verdict};
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::results;
pub use crate::matrix::test::{Body, Test};
use crate::matrix::{
    boot_matrix, bus, by_hand, device_tree, disk_names, entry, esm, faults, honesty, host, idle, injection,
    input, interrupts, large_tree, leak_hunt, malformed_tree, measured, memory, negotiation, network, nmi,
    noise, pause, pci, pool_limits, processors, proofs, ranges, refusing, registers, reserved, resets,
    rtas_model, sabotage, smp, soak, strays, strict, strings, violations,
};
use crate::options::Options;
use crate::out;
use crate::run::{FAILED, FINDINGS, INTERRUPTED};
use crate::say;
use crate::session::limit_guests;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Folder for the console logs of failed tests.
const LOGS: &str = "build/logs";
/// Number of their last lines that are shown.
const TAIL: usize = 30;

fn all(filters: &[String]) -> Vec<Test> {
    let mut tests = boot_matrix::tests();
    tests.extend(device_tree::tests());
    tests.extend(super::absurd_tree::tests());
    tests.extend(super::odd_tree::tests());
    tests.extend(disk_names::tests());
    tests.extend(super::discard::tests());
    tests.extend(pool_limits::tests());
    tests.extend(large_tree::tests());
    tests.extend(malformed_tree::tests());
    tests.extend(measured::tests());
    tests.extend(super::release::tests());
    tests.extend(memory::tests());
    tests.extend(network::tests());
    tests.extend(faults::tests());
    tests.extend(esm::tests());
    tests.extend(super::blob::tests());
    tests.extend(super::answers::tests());
    tests.extend(super::placed::tests());
    tests.extend(input::tests());
    tests.extend(sabotage::tests());
    tests.extend(super::careless::tests());
    tests.extend(super::disclosure::tests());
    tests.extend(interrupts::tests());
    tests.extend(idle::tests());
    tests.extend(smp::tests());
    tests.extend(nmi::tests());
    tests.extend(entry::tests());
    tests.extend(negotiation::tests());
    tests.extend(processors::tests());
    tests.extend(strict::tests());
    tests.extend(strings::tests());
    tests.extend(refusing::tests());
    tests.extend(violations::tests());
    tests.extend(honesty::tests());
    tests.extend(host::tests());
    tests.extend(super::hot::tests());
    tests.extend(injection::tests());
    tests.extend(pause::tests());
    tests.extend(strays::tests());
    tests.extend(registers::tests());
    tests.extend(super::registry::tests());
    tests.extend(resets::tests());
    tests.extend(rtas_model::tests());
    tests.extend(bus::tests());
    tests.extend(by_hand::tests());
    tests.extend(pci::tests());
    tests.extend(super::peers::tests());
    tests.extend(proofs::tests());
    tests.extend(super::random_bytes::tests());
    tests.extend(ranges::tests());
    tests.extend(reserved::tests());
    tests.extend(leak_hunt::tests());
    tests.extend(noise::tests());
    tests.extend(super::shape_machines::tests());
    tests.extend(super::shape_memory::tests());
    tests.extend(super::shape_devices::tests());
    tests.extend(soak::tests());
    tests.extend(super::through_time::tests());
    tests.extend(super::status_page::tests());
    tests.extend(super::record_replay::tests());
    tests.extend(super::monitor::tests());
    tests.extend(super::second_kernel::tests());
    tests.extend(super::linux::tests());
    tests.extend(super::runner_results::tests());
    tests.extend(super::tool::tests());
    tests.retain(|test| filters.is_empty() || filters.iter().any(|word| fits(word, &test.name)));
    tests
}

/// Whether a word of the command line selects this test: a part of its name, or the whole name after `=`.
fn fits(word: &str, name: &str) -> bool {
    word.strip_prefix('=').map_or_else(|| name.contains(word), |whole| name == whole)
}

/// The tests that the words select, without the excluded ones.
fn asked(options: &Options) -> Option<Vec<Test>> {
    let mut tests = chosen(&options.words)?;
    if let Some(word) = options.exclude.iter().find(|word| !tests.iter().any(|test| fits(word, &test.name))) {
        eprintln!("postern: EXCLUDE={word}: none of the tests that are asked for; `list` names them");
        return None;
    }
    tests.retain(|test| !options.exclude.iter().any(|word| fits(word, &test.name)));
    if tests.is_empty() {
        eprintln!("postern: EXCLUDE= leaves no test");
        return None;
    }
    Some(tests)
}

/// The tests that the words select; prints a line and returns `None` if a word selects none.
fn chosen(words: &[String]) -> Option<Vec<Test>> {
    let tests = all(words);
    match words.iter().find(|word| !tests.iter().any(|test| fits(word, &test.name))) {
        None => Some(tests),
        Some(word) => {
            match word.strip_prefix('=') {
                None => eprintln!("postern: no boot test's name contains {word}"),
                Some(name) => eprintln!("postern: no boot test is called {name}"),
            }
            None
        }
    }
}

/// The names of all tests.
#[must_use]
pub fn names() -> Vec<String> {
    all(&[]).into_iter().map(|test| test.name).collect()
}

/// Prints the names.
#[must_use]
pub fn list(options: &Options) -> u8 {
    let Some(tests) = asked(options) else { return FAILED };
    for test in tests.iter().take_while(|_| !out::has_no_reader()) {
        say!("{}", test.name);
    }
    0
}

fn context(options: &Options) -> Context {
    Context {
        qemu: options.qemu.clone(),
        kernel: options.kernel.clone(),
        test_image: options.test_image.clone(),
        sabotage: options.sabotage.clone(),
        skip_bounce: options.skip_bounce.clone(),
        careless: options.careless.clone(),
        rom: options.rom.clone(),
    }
}

/// Runs the long soak as a single test and returns the exit status.
#[must_use]
pub fn soak(options: &Options) -> u8 {
    let test = soak::long(options.time, options.seed);
    let passed = shown(one(&test, &context(options))).verdict == Verdict::Passed;
    if interrupt::requested() {
        return INTERRUPTED;
    }
    say!("{} passed, {} failed", u8::from(passed), u8::from(!passed));
    if passed { 0 } else { FAILED }
}

/// Runs the tests and returns the exit status.
#[must_use]
pub fn test(options: &Options) -> u8 {
    let Some(tests) = asked(options) else { return FAILED };
    if let Some(limit) = options.guest_limit {
        limit_guests(limit);
    }
    // Before the first test: an unwritable folder or a missing QEMU is reported at once.
    let version = match &options.results {
        Some(dir) => match results::version(&options.qemu)
            .and_then(|version| results::begin(dir, &version).map(|()| version))
        {
            Ok(version) => version,
            Err(error) => {
                eprintln!("postern: {error}");
                return FAILED;
            }
        },
        None => String::new(),
    };
    let context = context(options);
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let runs = tests.len() * options.repeat;
    let nth = |run: usize| if run < runs { tests.get(run % tests.len()) } else { None };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.min(runs) {
            scope.spawn(|| {
                while let Some(test) = nth(next.fetch_add(1, Ordering::Relaxed)) {
                    if interrupt::requested() || out::has_no_reader() {
                        break;
                    }
                    let outcome = shown(one(test, &context));
                    outcomes.lock().unwrap_or_else(|e| e.into_inner()).push(outcome);
                }
            });
        }
    });
    if out::has_no_reader() {
        return INTERRUPTED;
    }
    if interrupt::requested() {
        eprintln!("postern: interrupted");
        return INTERRUPTED;
    }
    let mut outcomes = outcomes.into_inner().unwrap_or_else(|e| e.into_inner());
    outcomes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let kept = options.results.as_ref().map_or(Ok(()), |dir| results::write(dir, &version, &outcomes));
    if let Err(error) = &kept {
        eprintln!("postern: {error}");
    }
    let (mut failed, mut skipped) = (0, 0);
    for outcome in &outcomes {
        match outcome.verdict {
            Verdict::Failed(_) => {
                failed += 1;
                say!("failed: {}", outcome.name);
            }
            Verdict::Skipped(_) => skipped += 1,
            Verdict::Passed => {}
        }
    }
    let more = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    say!("{} passed, {failed} failed{more}", outcomes.len() - failed - skipped);
    if failed == 0 && kept.is_ok() { 0 } else { FAILED }
}

/// Prints the lines of a test in one piece.
fn shown((outcome, text): (Outcome, Vec<u8>)) -> Outcome {
    out::write(format_args!("{}", String::from_utf8_lossy(&text)));
    outcome
}

/// Runs one test; returns its outcome and the lines to print.
fn one(test: &Test, context: &Context) -> (Outcome, Vec<u8>) {
    let started = Instant::now();
    json_lines::begin(&test.name);
    let result = (test.body)(context);
    let seconds = started.elapsed().as_secs_f32();
    let mut text = Vec::new();
    // Writing to memory does not fail.
    drop(match &result {
        Ok(()) => writeln!(text, "ok   {:<40} {seconds:5.1} s", test.name),
        Err(_) if interrupt::requested() => Ok(()),
        Err(failure) if let Some(why) = failure.skipped() => writeln!(text, "skip {:<40} {why}", test.name),
        Err(failure) => describe(&mut text, &test.name, seconds, failure),
    });
    let verdict = match &result {
        Ok(()) => Verdict::Passed,
        Err(failure) => match failure.skipped() {
            Some(why) => Verdict::Skipped(why.to_owned()),
            None => {
                let reasons: Vec<_> = failure.findings.iter().map(ToString::to_string).collect();
                Verdict::Failed(reasons.join("; "))
            }
        },
    };
    (Outcome { name: test.name.clone(), seconds: Some(seconds), verdict }, text)
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
    use crate::finding::Finding;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let tests = all(&[]);
        let names: BTreeSet<_> = tests.iter().map(|test| &test.name).collect();
        assert_eq!(names.len(), tests.len());
    }

    #[test]
    fn every_combination_of_the_matrix_has_a_test() {
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
    fn a_word_that_selects_no_test_is_an_error_even_beside_others() {
        for words in
            [&["no such test"][..], &["slof", "no such test"], &["=vof/normal"], &["=nof/normal/ap-on"]]
        {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            let options = Options { words, ..Options::default() };
            assert_eq!(test(&options), FAILED);
            assert_eq!(list(&options), FAILED);
        }
    }

    #[test]
    fn excluded_tests_do_not_run_and_a_word_that_excludes_none_is_an_error() {
        let options = |words: &[&str], exclude: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
            Options { words: own(words), exclude: own(exclude), ..Options::default() }
        };
        let all = asked(&options(&["vof/normal"], &[])).unwrap().len();
        let left = asked(&options(&["vof/normal"], &["=vof/normal/ap-on"])).unwrap();
        assert_eq!(left.len(), all - 1);
        assert!(left.iter().all(|test| test.name != "vof/normal/ap-on"));
        assert!(asked(&options(&["vof/normal"], &["slof/normal"])).is_none());
        assert!(asked(&options(&["=vof/normal/ap-on"], &["vof"])).is_none());
    }

    #[test]
    fn a_whole_name_selects_one_test() {
        assert_eq!(all(&["=vof/normal/ap-on".to_owned()]).len(), 1);
        assert!(all(&["vof/normal/ap-on".to_owned()]).len() > 1);
    }

    #[test]
    fn a_result_is_passed_failed_or_skipped_and_printed_so() {
        let context = Context::for_tests();
        assert_eq!(one(&Test::new("good", |_| Ok(())), &context).0.verdict, Verdict::Passed);
        let bad = Test::new("bad", |_| Err(Failure { findings: vec![], output: None }));
        let (outcome, text) = one(&bad, &context);
        assert_eq!(outcome.verdict, Verdict::Failed(String::new()));
        assert!(text.starts_with(b"FAIL bad "));
        let cannot = Test::new("cannot", |_| Err(Finding::Skipped("no QEMU".into()).into()));
        let (outcome, text) = one(&cannot, &context);
        assert_eq!(outcome.verdict, Verdict::Skipped("no QEMU".into()));
        assert!(text.starts_with(b"skip cannot ") && text.ends_with(b" no QEMU\n"));
    }
}
