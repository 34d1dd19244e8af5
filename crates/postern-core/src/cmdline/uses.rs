//! Words of the command line that have no effect.

use super::{Extra, OPTIONS, Options, Step};
use core::fmt;
use papr::text::Escaped;

/// A word without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unused<'a> {
    /// The word.
    pub word: &'a [u8],
    /// Why the word has no effect.
    pub why: Why,
}

/// Why a word has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No step of `run=` uses it.
    NoStep,
    /// The same option follows later on the line.
    GivenAgain,
    /// An ordinary guest has no pool.
    NoPool,
    /// An ordinary guest has no ultravisor to ask.
    NoUltravisor,
}

impl fmt::Display for Unused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: not used: ", Escaped(self.word))?;
        f.write_str(match self.why {
            Why::NoStep => "no step of run= uses it",
            Why::GivenAgain => "a later one counts",
            Why::NoPool => "an ordinary guest has no pool",
            Why::NoUltravisor => "an ordinary guest has no ultravisor to ask",
        })
    }
}

/// The words without effect of a line that an image with the words `extra` parsed into `options`. `secure`: this is a
/// secure guest.
pub fn unused<'a>(
    line: &'a [u8],
    options: &Options,
    extra: &impl Extra,
    secure: bool,
) -> impl Iterator<Item = Unused<'a>> {
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.clone().enumerate().filter_map(move |(index, word)| {
        let mut later = words.clone().skip(index.saturating_add(1));
        let why = if later.any(|later| name(later) == name(word)) {
            Some(Why::GivenAgain)
        } else if !secure && name(word) == b"pool" && !options.run.iter().any(measures_pool) {
            Some(Why::NoPool)
        } else if !secure && name(word) == b"secret" {
            Some(Why::NoUltravisor)
        } else {
            let own = OPTIONS.contains(&name(word));
            let added = extra.options().iter().find(|option| option.name == name(word));
            let uses = |step: &Step| match added {
                Some(option) => option.with_any_step || asks_for(step, option.name),
                None => looks_at(step, name(word)),
            };
            ((own || added.is_some()) && !options.run.iter().any(uses)).then_some(Why::NoStep)
        };
        Some(Unused { word, why: why? })
    })
}

fn name(word: &[u8]) -> &[u8] {
    word.split(|&byte| byte == b'=').next().unwrap_or_default()
}

/// Whether a step, or the boot before it, uses an option of the product.
fn looks_at(step: &Step, option: &[u8]) -> bool {
    match option {
        b"serve" => matches!(step, Step::NetServe | Step::Monitor) || asks_for(step, option),
        b"http" => matches!(step, Step::NetServe | Step::Monitor) || asks_for(step, option),
        b"seed" => matches!(step, Step::BlkPattern | Step::BlkSmp) || asks_for(step, option),
        b"ip" | b"gw" => {
            matches!(step, Step::Demo | Step::NetServe | Step::Monitor) || asks_for(step, option)
        }
        // Devices are brought up for every step.
        _ => true,
    }
}

/// Whether this is a step of the image's own that uses the option.
fn asks_for(step: &Step, option: &[u8]) -> bool {
    matches!(step, Step::Extra(step) if step.looks_at.contains(&option))
}

/// Whether this is a step that uses `pool=` without the machine's pool.
fn measures_pool(step: &Step) -> bool {
    asks_for(step, b"pool")
}

#[cfg(test)]
mod tests {
    use super::super::{OPTIONS, STEPS, parse};
    use super::unused;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// Options that only some steps use.
    const SOMETIMES: [&str; 5] = ["ip", "gw", "http", "seed", "serve"];
    /// The ones of these that each step uses, from docs/help.txt.
    const USED_BY_STEP: [(&str, &str); 7] = [
        ("demo", "ip gw"),
        ("blk-digest", ""),
        ("blk-pattern", "seed"),
        ("blk-smp", "seed"),
        ("net-serve", "ip gw http serve"),
        ("monitor", "ip gw http serve"),
        ("map", ""),
    ];

    fn value(option: &str) -> &'static str {
        match option {
            "svm" => "on",
            "pool" => "2M",
            "loglevel" => "info",
            "console" => "hvc",
            "ip" => "10.0.2.15/24",
            "gw" => "10.0.2.2",
            "irq" => "poll",
            "report" => "full",
            "http" => "on",
            _ => "7",
        }
    }

    fn said(line: &str, secure: bool) -> Vec<String> {
        let parsed = parse(line.as_bytes());
        assert!(parsed.errors.is_empty(), "{line}: {:?}", parsed.errors);
        unused(line.as_bytes(), &parsed.options, &(), secure).map(|unused| unused.to_string()).collect()
    }

    #[test]
    fn every_option_with_every_step_has_an_effect_or_is_named() {
        let mut tried = 0;
        for (step, _) in STEPS {
            let of_step = USED_BY_STEP.iter().find(|(name, _)| *name == step).map_or("", |(_, used)| used);
            for option in OPTIONS.iter().map(|option| core::str::from_utf8(option).unwrap()) {
                let word = format!("{option}={}", value(option));
                // Words that it requires.
                let with = match option {
                    "run" => continue,
                    "gw" => "ip=10.0.2.15/24 ",
                    _ => "",
                };
                let used = !SOMETIMES.contains(&option) || of_step.split(' ').any(|used| used == option);
                let said = said(&format!("{with}{word} run={step}"), true);
                let line = format!("{word}: not used: no step of run= uses it");
                assert_eq!(said.contains(&line), !used, "{step}: {word}: {said:?}");
                tried += 1;
            }
        }
        assert_eq!(tried, STEPS.len() * (OPTIONS.len() - 1));
    }

    #[test]
    fn one_step_of_several_that_looks_at_a_word_is_enough() {
        assert_eq!(said("run=map,net-serve,blk-pattern serve=1 seed=2 ip=dhcp", true), [""; 0]);
        assert_eq!(said("seed=2", true), ["seed=2: not used: no step of run= uses it"]);
    }

    #[test]
    fn a_word_that_a_later_one_overrides_is_named() {
        let line = "run=map seed=1 run=blk-pattern seed=2";
        assert_eq!(
            said(line, true),
            ["run=map: not used: a later one counts", "seed=1: not used: a later one counts"]
        );
    }

    #[test]
    fn a_pool_is_of_use_to_a_secure_guest() {
        let named = ["pool=2M: not used: an ordinary guest has no pool"];
        assert_eq!(said("pool=2M", true), [""; 0]);
        assert_eq!(said("pool=2M", false), named);
    }

    #[test]
    fn a_secret_is_for_a_secure_guest() {
        assert_eq!(said("secret=disk-key", true), [""; 0]);
        assert_eq!(
            said("secret=disk-key", false),
            ["secret=disk-key: not used: an ordinary guest has no ultravisor to ask"]
        );
    }
}
