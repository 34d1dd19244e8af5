//! The test image's words: how they are read, which have no effect, and that the product knows their names.

use super::{STEPS, TestOptions, TestStep, test_step};
use postern_core::cmdline::{self, Extra, OPTIONS, Options, Step, TEST_OPTIONS, TEST_STEPS, parse_with};
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

fn parsed(line: &str) -> (Options, TestOptions) {
    let mut test = TestOptions::default();
    let parsed = parse_with(line.as_bytes(), &mut test);
    assert!(parsed.errors.is_empty(), "{line}: {:?}", parsed.errors);
    (parsed.options, test)
}

fn errors(line: &str) -> Vec<String> {
    let mut test = TestOptions::default();
    parse_with(line.as_bytes(), &mut test).errors.iter().map(ToString::to_string).collect()
}

#[test]
fn the_words_of_the_test_image_are_those_that_the_product_names() {
    assert_eq!(STEPS.map(|(step, _)| step.name), TEST_STEPS);
    let test = TestOptions::default();
    let options: Vec<_> = test.options().iter().map(|option| option.name).collect();
    assert_eq!(options, TEST_OPTIONS.map(str::as_bytes));
}

#[test]
fn every_word_is_read_beside_those_of_the_product() {
    let (options, test) =
        parsed("canary=0xfeed pool=2M bench=read:4096:32:random:500,write:512:1:seq:1 run=demo,bench-blk");
    assert_eq!((options.pool, test.canary), (2 << 20, Some(0xfeed)));
    let bench: Vec<_> = test.bench.iter().map(ToString::to_string).collect();
    assert_eq!(bench, ["read:4096:32:random:500", "write:512:1:seq:1"]);
    let [demo, step] = options.run[..] else { panic!("{:?}", options.run) };
    assert_eq!((demo, test_step(demo)), (Step::Demo, None));
    assert_eq!(test_step(step), Some(TestStep::BenchBlk));
}

#[test]
fn every_step_is_read_and_shown_by_its_name() {
    for (extra, does) in STEPS {
        let (options, _) = parsed(&format!("bench=read:512:1:seq:1 test=all run={}", extra.name));
        let [step] = options.run[..] else { panic!("{:?}", options.run) };
        assert_eq!((test_step(step), step.to_string()), (Some(does), extra.name.to_string()));
    }
}

#[test]
fn a_benchmark_without_work_is_an_error() {
    for step in ["bench-blk", "bench-smp", "bench-copy", "demo,bench-blk"] {
        assert_eq!(errors(&format!("run={step}")), ["run: needs bench=WORK,.."]);
    }
    assert_eq!(errors("run=bench-pool"), [""; 0]);
}

#[test]
fn tests_without_a_list_are_an_error_and_a_list_makes_them_the_default_step() {
    assert_eq!(errors("run=tests"), ["run: needs test=NAME,.. or test=all"]);
    let (options, test) = parsed("test=blk/read");
    let [step] = options.run[..] else { panic!("{:?}", options.run) };
    assert_eq!(test_step(step), Some(TestStep::Tests));
    assert_eq!(test.tests.entries().count(), 1);
    assert_eq!(parsed("test=all run=map").0.run[..], [Step::Map]);
    assert_eq!(said("test=all run=map", true), ["test=all: not used: no step of run= uses it"]);
}

#[test]
fn a_piece_of_work_beyond_the_limit_is_refused() {
    let bench = |pieces: usize| format!("bench={}", vec!["read:512:1:seq:1"; pieces].join(","));
    assert_eq!(parsed(&bench(32)).1.bench.len(), 32);
    assert!(errors(&bench(33))[0].ends_with("expected at most 32 pieces of work"));
    for largest in ["read:4194304:1:seq:1", "read:512:256:seq:1"] {
        assert_eq!(parsed(&format!("bench={largest}")).1.bench.len(), 1);
    }
    for beyond in ["read:4194816:1:seq:1", "read:512:257:seq:1"] {
        assert_eq!(errors(&format!("bench={beyond}")).len(), 1, "{beyond}");
    }
}

#[test]
fn a_malformed_or_misspelt_word_is_named() {
    for (line, error) in [
        ("canary=x", "canary=x: expected a 64-bit number"),
        ("canary", "canary: needs a value"),
        ("bench=read", "bench=read: expected a list of read|write:SIZE:DEPTH:seq|random:MILLISECONDS"),
        ("test", "test: needs a value"),
        ("test=all echo=10.0.2", "echo=10.0.2: expected the IPv4 address of a host"),
        ("test=all echo=0.0.0.0", "echo=0.0.0.0: expected the IPv4 address of a host"),
        (
            "test=all,blk/reed",
            "test=all,blk/reed: item 2: expected the name of a test, a pattern such as blk/*, or all",
        ),
        ("benches=read:512:1:seq:1", "benches=read:512:1:seq:1: unknown option"),
    ] {
        assert_eq!(errors(line), [error]);
    }
    for (step, _) in STEPS {
        for slip in [format!("{}s", step.name), step.name.to_ascii_uppercase(), format!("-{}", step.name)] {
            let line = format!("run={slip}");
            assert!(errors(&line).concat().starts_with(&format!("{line}: expected a list of ")), "{line}");
        }
    }
}

/// Options that only some steps use.
const SOMETIMES: [&str; 8] = ["ip", "gw", "http", "seed", "serve", "bench", "test", "echo"];
/// The ones of these that each step uses, from docs/help.txt.
const USED_BY_STEP: [(&str, &str); 7] = [
    ("blk-discard", "seed"),
    ("soak", "ip gw seed serve"),
    ("net-bench", "ip gw serve"),
    ("bench-blk", "seed bench"),
    ("bench-smp", "seed bench"),
    ("bench-copy", "bench"),
    ("tests", "ip gw seed test echo"),
];

fn value(option: &str) -> &'static str {
    match option {
        "svm" | "http" => "on",
        "pool" => "2M",
        "loglevel" => "info",
        "console" => "hvc",
        "ip" => "10.0.2.15/24",
        "gw" => "10.0.2.2",
        "echo" => "10.0.2.9",
        "irq" => "poll",
        "report" => "full",
        "bench" => "read:4096:1:seq:1",
        "test" => "blk/read",
        _ => "7",
    }
}

fn said(line: &str, secure: bool) -> Vec<String> {
    let (options, test) = parsed(line);
    cmdline::unused(line.as_bytes(), &options, &test, secure).map(|unused| unused.to_string()).collect()
}

#[test]
fn every_option_with_every_step_has_an_effect_or_is_named() {
    let mut tried = 0;
    let product = OPTIONS.iter().map(|option| core::str::from_utf8(option).unwrap());
    let options: Vec<_> = product.chain(TEST_OPTIONS).filter(|option| *option != "run").collect();
    for step in STEPS.map(|(step, _)| step.name) {
        let of_step = USED_BY_STEP.iter().find(|(name, _)| *name == step).map_or("", |(_, used)| used);
        for option in &options {
            let word = format!("{option}={}", value(option));
            // Words that it or the step requires.
            let with = if *option == "gw" { "ip=10.0.2.15/24 " } else { "" };
            let measures = matches!(step, "bench-blk" | "bench-smp" | "bench-copy") && *option != "bench";
            let tests = step == "tests" && *option != "test";
            let more = if measures {
                "bench=read:512:1:seq:1 "
            } else if tests {
                "test=all "
            } else {
                ""
            };
            let used = !SOMETIMES.contains(option) || of_step.split(' ').any(|used| used == *option);
            let said = said(&format!("{more}{with}{word} run={step}"), true);
            let line = format!("{word}: not used: no step of run= uses it");
            assert_eq!(said.contains(&line), !used, "{step}: {word}: {said:?}");
            tried += 1;
        }
    }
    assert_eq!(tried, STEPS.len() * (OPTIONS.len() - 1 + TEST_OPTIONS.len()));
}

#[test]
fn what_the_test_image_adds_has_an_effect_beside_the_steps_of_the_product() {
    assert_eq!(said("canary=7 run=map", true), [""; 0]);
    let unused = ["bench=read:512:1:seq:1: not used: no step of run= uses it"];
    assert_eq!(said("bench=read:512:1:seq:1 run=map", true), unused);
    assert_eq!(said("seed=1 run=soak seed=2", true), ["seed=1: not used: a later one counts"]);
    assert_eq!(said("pool=2M run=bench-pool", false), [""; 0]);
    assert_eq!(said("pool=2M run=memory", false), ["pool=2M: not used: an ordinary guest has no pool"]);
}

#[test]
fn the_help_names_exactly_the_steps_that_write_to_scratch_disks() {
    let help = include_str!("../../../../docs/help.txt");
    for (step, _) in STEPS.into_iter().filter(|(step, _)| !step.name.starts_with("breach-")) {
        let text = help_of(help, step.name).unwrap_or_else(|| panic!("no {} in the help", step.name));
        let says = text.contains("scratch disk") || step.name == "soak";
        assert_eq!(step.writes_scratch, says, "{}: {text}", step.name);
    }
}

/// The help on a step: its line, and the following lines with a deeper indent.
fn help_of(help: &str, step: &str) -> Option<String> {
    let start = help.find(&format!("\n        {step} "))?;
    let text = help.get(start + 1..)?.split_inclusive('\n').enumerate();
    Some(
        text.take_while(|(n, line)| *n == 0 || line.starts_with("          "))
            .map(|(_, line)| line)
            .collect(),
    )
}
