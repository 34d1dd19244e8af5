//! Accepted options, refused words, and errors that show text of the host only escaped.

use super::{
    Console, DEFAULT_POOL, Fault, Ip, Irq, MAX_ERRORS, MAX_LINE, OPTIONS, Options, STEPS, Step, parse,
};
use crate::secure::SvmOption;
use core::net::Ipv4Addr;
use core::time::Duration;
use log::LevelFilter;
use papr::ultracall::file::FileName;
use postern_cases::case;
use proptest::prelude::{any, proptest};
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

fn options(line: &str) -> Options {
    let parsed = parse(line.as_bytes());
    assert!(parsed.errors.is_empty(), "{line}: {:?}", parsed.errors);
    parsed.options
}

fn errors(line: &[u8]) -> Vec<String> {
    parse(line).errors.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_line_gives_the_defaults() {
    for line in ["", " \t\n ", "\0", "\0svm=on"] {
        let options = options(line);
        assert_eq!(options, Options::default());
        assert_eq!(options.svm, None);
        assert_eq!(options.pool, DEFAULT_POOL);
        assert_eq!(options.loglevel, LevelFilter::Info);
        assert_eq!(options.run.as_slice(), [Step::Demo]);
        assert_eq!(options.ip, Ip::Dhcp);
        assert_eq!(
            (options.irq, options.seed, options.serve, options.device_timeout),
            (Irq::Auto, 1, None, None)
        );
    }
}

#[test]
fn every_option_is_read() {
    let all = "svm=on pool=512K loglevel=trace console=uart run=blk-digest,blk-pattern,net-serve \
               gw=10.0.2.2 ip=10.0.2.15/24 irq=lsi seed=0xfeed serve=30 device-timeout=2 secret=disk-key\0";
    let options = options(all);
    assert_eq!(options.svm, Some(SvmOption::On));
    assert_eq!(options.pool, 512 << 10);
    assert_eq!(options.loglevel, LevelFilter::Trace);
    assert_eq!(options.console, Console::Uart);
    assert_eq!(options.run.as_slice(), [Step::BlkDigest, Step::BlkPattern, Step::NetServe]);
    let (address, gateway) = (Ipv4Addr::new(10, 0, 2, 15), Some(Ipv4Addr::new(10, 0, 2, 2)));
    assert_eq!(options.ip, Ip::Static { address, prefix: 24, gateway });
    assert_eq!(options.irq, Irq::Lsi);
    assert_eq!(options.seed, 0xfeed);
    assert_eq!(options.serve, Some(Duration::from_secs(30)));
    assert_eq!(options.device_timeout, Some(Duration::from_secs(2)));
    assert_eq!(options.secret, FileName::new("disk-key").ok());
}

#[test]
fn every_word_of_a_closed_list_is_read() {
    for (word, want) in [("on", SvmOption::On), ("off", SvmOption::Off), ("emulated", SvmOption::Emulated)] {
        assert_eq!(options(&format!("svm={word}")).svm, Some(want));
    }
    for level in ["off", "error", "warn", "info", "debug", "trace"] {
        assert_eq!(Ok(options(&format!("loglevel={level}")).loglevel), level.parse());
    }
    assert_eq!(options("console=hvc").console, Console::Hvc);
    for (name, step) in STEPS {
        assert_eq!(options(&format!("run={name}")).run.as_slice(), [step]);
        assert_eq!(step.to_string(), name);
    }
}

#[test]
fn the_help_names_exactly_the_steps_that_write_to_scratch_disks() {
    let help = include_str!("../../../../docs/help.txt");
    for (name, step) in STEPS {
        let text = help_of(help, name).unwrap_or_else(|| panic!("no {name} in the help"));
        assert_eq!(step.writes_scratch(), text.contains("scratch disk"), "{name}: {text}");
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

#[test]
fn pool_is_whole_frames_in_bytes_or_with_a_unit() {
    for (value, bytes) in [
        ("65536", 65536),
        ("0x20000", 0x20000),
        ("64k", 65536),
        ("8M", 8 << 20),
        ("1G", 1 << 30),
        ("1g", 1 << 30),
    ] {
        assert_eq!(options(&format!("pool={value}")).pool, bytes, "{value}");
    }
    for value in
        ["0", "1", "65537", "63K", "2G", "1T", "-8M", "+8M", "8 M", "M", "0x", "18446744073709551616", "8MM"]
    {
        let line = format!("pool={value}");
        let parsed = parse(line.as_bytes());
        assert!(!parsed.errors.is_empty(), "{value}");
        assert_eq!(parsed.options.pool, DEFAULT_POOL);
    }
}

#[test]
fn a_size_that_wraps_is_refused() {
    assert_eq!(
        errors(b"pool=0x4000000000000000G"),
        ["pool=0x4000000000000000G: expected a multiple of 64K from 64K to 1G"]
    );
}

#[test]
fn unknown_and_malformed_options_are_reported_by_name_and_value() {
    case!("DT-18", Refuse);
    assert_eq!(
        errors(b"quiet svm=maybe swiotlb=force run=demo,,x pool"),
        [
            "quiet: unknown option",
            "svm=maybe: expected on, off or emulated",
            "swiotlb=force: unknown option",
            "run=demo,,x: expected a list of demo, blk-digest, blk-pattern, blk-smp, net-serve, monitor, map",
            "pool: needs a value",
        ]
    );
    assert_eq!(errors(b"svm= =on ="), ["svm=: needs a value", "=on: unknown option", "=: unknown option"]);
    assert_eq!(errors(b"SVM=on"), ["SVM=on: unknown option"]);
    assert_eq!(errors(b"serve=0"), ["serve=0: expected seconds, from 1 to 4294967295"]);
    for most in ["4294967295", "0xffffffff"] {
        assert_eq!(
            options(&format!("device-timeout={most}")).device_timeout,
            Some(Duration::from_secs(u32::MAX.into()))
        );
    }
    for word in [
        "device-timeout=0",
        "device-timeout=4294967296",
        "serve=18446744073709551616",
        "device-timeout=-1",
        "device-timeout=1.5",
    ] {
        assert_eq!(errors(word.as_bytes()), [format!("{word}: expected seconds, from 1 to 4294967295")]);
    }
    assert_eq!(errors(b"device-timeout=x"), ["device-timeout=x: expected seconds, from 1 to 4294967295"]);
    assert_eq!(errors(b"seed=1x"), ["seed=1x: expected a 64-bit number"]);
}

/// Typing errors: upper case, a letter left out, doubled, two exchanged, one too many.
fn slips(word: &str) -> Vec<String> {
    let mut slips = vec![word.to_ascii_uppercase(), format!("{word}s"), format!("-{word}")];
    for at in 0..word.len() {
        let (before, after) = word.split_at(at);
        let (letter, rest) = after.split_at(1);
        slips.push(format!("{before}{rest}"));
        slips.push(format!("{before}{letter}{letter}{rest}"));
        if let Some((next, rest)) = rest.split_at_checked(1).filter(|(next, _)| *next != letter) {
            slips.push(format!("{before}{next}{letter}{rest}"));
        }
    }
    slips
}

#[test]
fn each_option_and_step_misspelt_is_an_error_that_names_it() {
    // The value is valid: only the name is wrong.
    let right = [
        ("svm", "on"),
        ("pool", "8M"),
        ("loglevel", "info"),
        ("console", "hvc"),
        ("run", "demo"),
        ("ip", "dhcp"),
        ("gw", "10.0.2.2"),
        ("irq", "auto"),
        ("report", "full"),
        ("seed", "1"),
        ("serve", "1"),
        ("http", "on"),
        ("device-timeout", "1"),
        ("secret", "disk-key"),
    ];
    for option in OPTIONS {
        let option = core::str::from_utf8(option).unwrap();
        let (_, value) = right.iter().find(|(name, _)| *name == option).unwrap();
        // A gateway needs an address beside it.
        let beside = if option == "gw" { " ip=10.0.2.15/24" } else { "" };
        assert_eq!(errors(format!("{option}={value}{beside}").as_bytes()), <[&str; 0]>::default());
        for slip in slips(option).into_iter().filter(|slip| !OPTIONS.contains(&slip.as_bytes())) {
            let line = format!("{slip}={value}");
            assert_eq!(errors(line.as_bytes()), [format!("{line}: unknown option")]);
        }
    }
    for (step, _) in STEPS {
        for slip in slips(step).into_iter().filter(|slip| STEPS.iter().all(|(name, _)| name != slip)) {
            let line = format!("run={slip}");
            assert_eq!(errors(line.as_bytes()).len(), 1, "{line}");
            assert!(errors(line.as_bytes()).concat().starts_with(&format!("{line}: ")), "{line}");
        }
    }
}

#[test]
fn a_word_in_error_does_not_hide_the_others() {
    let parsed = parse(b"loglevel=loud pool=1M");
    assert_eq!(parsed.errors.len(), 1);
    assert_eq!(parsed.options.pool, 1 << 20);
    assert_eq!(parsed.options.loglevel, LevelFilter::Info);
}

#[test]
fn the_later_of_two_values_counts() {
    assert_eq!(options("svm=on svm=off").svm, Some(SvmOption::Off));
}

#[test]
fn a_static_address_is_that_of_a_host() {
    let refused = [
        "10.0.2.15",
        "10.0.2.15/0",
        "10.0.2.15/33",
        "10.0.2/24",
        "0.0.0.0/8",
        "224.0.0.1/4",
        "255.255.255.255/32",
        "127.0.0.1/8",
        "::1/64",
        "10.0.2.15/+24",
        "10.0.2.255/24",
        "10.0.2.0/24",
    ];
    for value in refused {
        assert_eq!(parse(format!("ip={value}").as_bytes()).errors.len(), 1, "{value}");
    }
    assert_eq!(errors(b"ip=10.0.2.255/24"), ["ip=10.0.2.255/24: expected the address of one host"]);
    assert_eq!(errors(b"ip=10.0.2.15/0"), ["ip=10.0.2.15/0: expected a length from 1 to 32"]);
    assert!(matches!(options("ip=10.0.2.255/23").ip, Ip::Static { .. }), "one host of a larger network");
    assert!(matches!(options("ip=10.0.2.0/31").ip, Ip::Static { .. }), "of a network of two");
    assert!(matches!(options("ip=192.168.1.9/32").ip, Ip::Static { prefix: 32, gateway: None, .. }));
}

#[test]
fn a_gateway_belongs_to_the_network() {
    assert_eq!(errors(b"gw=10.0.2.2"), ["gw=10.0.2.2: needs ip=A.B.C.D/len"]);
    assert_eq!(errors(b"gw=10.0.3.2 ip=10.0.2.15/24"), ["gw=10.0.3.2: no other host in the network of ip="]);
    assert_eq!(
        errors(b"gw=10.0.2.15 ip=10.0.2.15/24"),
        ["gw=10.0.2.15: no other host in the network of ip="]
    );
    for gateway in ["10.0.2.255", "10.0.2.0", "127.0.0.1", "0.0.0.0"] {
        let line = format!("gw={gateway} ip=10.0.2.15/24");
        assert_eq!(errors(line.as_bytes()), [format!("gw={gateway}: no other host in the network of ip=")]);
    }
    assert_eq!(errors(b"gw=gate ip=10.0.2.15/24"), ["gw=gate: expected A.B.C.D"]);
}

#[test]
fn dt_10_bootargs_of_64_kib_give_the_defaults_and_one_error() {
    case!("DT-10", Refuse);
    let mut line = vec![b'x'; 65_536];
    line.splice(0..7, *b"svm=on ");
    let parsed = parse(&line);
    assert_eq!(parsed.options, Options::default());
    assert_eq!(parsed.errors.len(), 1);
    assert_eq!(parsed.errors.first().map(|error| error.fault), Some(Fault::LineTooLong(65_536)));
    let line = line.get(..MAX_LINE).unwrap_or_default();
    assert_eq!(parse(line).options.svm, Some(SvmOption::On));
}

#[test]
fn dt_10_bootargs_that_are_not_utf_8_are_shown_escaped() {
    assert_eq!(
        errors(b"svm=\xff\x1b[2J \x80=1"),
        ["svm=\\xff\\x1b[2J: expected on, off or emulated", "\\x80=1: unknown option"]
    );
}

#[test]
fn a_long_word_is_shown_in_part_and_many_errors_are_counted() {
    case!("DT-18", Clamp);
    let word = "y".repeat(100);
    let text = errors(word.as_bytes()).join("");
    assert_eq!(text, format!("{}...: unknown option", "y".repeat(64)));
    let parsed = parse(b"a b c d e f g h i j k");
    assert_eq!((parsed.errors.len(), parsed.errors_left_out), (MAX_ERRORS, 3));
}

#[test]
fn a_line_of_one_byte_more_is_not_read() {
    let mut line = vec![b' '; MAX_LINE];
    line[..6].copy_from_slice(b"svm=on");
    assert_eq!((parse(&line).options.svm, parse(&line).errors.len()), (Some(SvmOption::On), 0));
    line.push(b' ');
    let parsed = parse(&line);
    assert_eq!(parsed.options, Options::default());
    assert_eq!(parsed.errors.first().map(|error| error.fault), Some(Fault::LineTooLong(4097)));
}

#[test]
fn a_frame_more_than_the_largest_pool_is_refused() {
    assert_eq!(options("pool=1G").pool, 1 << 30);
    assert_eq!(options("pool=64K").pool, 1 << 16);
    for size in ["1073807360", "1048640K", "0", "32K"] {
        let line = format!("pool={size}");
        assert_eq!(errors(line.as_bytes()), [format!("{line}: expected a multiple of 64K from 64K to 1G")]);
    }
}

#[test]
fn more_steps_than_fit_are_refused() {
    assert_eq!(options(&format!("run={}", ["map"; 8].join(","))).run.len(), 8);
    let line = format!("run={}", ["demo"; 9].join(","));
    assert_eq!(
        parse(line.as_bytes()).errors.first().map(|error| error.fault),
        Some(Fault::Expected("at most 8 steps"))
    );
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_and_shown_as_printable_ascii(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        for error in &parse(&line).errors {
            assert!(error.to_string().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }
    }

    #[test]
    fn words_made_of_option_names_never_panic(line in "((svm|pool|ip|gw|run|seed|serve)=[0-9a-zKMG./,x]{0,12} ?){0,6}") {
        let parsed = parse(line.as_bytes());
        assert!(parsed.options.pool >= 65_536 && parsed.options.pool <= super::MAX_POOL);
        assert!(!parsed.options.run.is_empty());
    }
}

#[test]
fn an_unknown_step_is_answered_with_the_list_of_steps() {
    let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
    let error = parse(b"run=x").errors.first().map(ToString::to_string);
    assert_eq!(error, Some(format!("run=x: expected a list of {}", names.join(", "))));
}

#[test]
fn every_status_is_explained_once() {
    use crate::exit::{EXPLANATIONS, ExitStatus};
    assert_eq!(EXPLANATIONS.map(|row| row.status), ExitStatus::ALL);
}
