//! An idle guest sleeps. QEMU counts a CPU's time by its instructions (`-icount`), and skips time in which all CPUs are
//! idle: how long a guest sleeps and how often it wakes do not depend on the host's load.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::observe::cedes::{self, Cedes};
use crate::session::Finished;
use crate::twin;
use crate::variable::{Firmware, Net};

/// Instructions take 2^6 ns each: a guest that never sleeps has 15,625,000 in a second.
const CLOCK: &str = "shift=6,sleep=off";
/// Ticks of QEMU's timebase in a second.
const TICKS: u64 = 512_000_000;
/// Seconds for which a guest serves a network without traffic.
const SERVED: u64 = 10;
const TWIN_SERVED: u64 = 2;
/// Percentage of ticks that the serving CPU has to sleep.
const ASLEEP: u64 = 95;
/// Most wakes a second of a guest with interrupts: a sleep of its driver takes 20 ms, and the link is checked each 100 ms.
const WAKES: usize = 60;
/// The same of a guest that polls, whose longest sleep takes 4 ms.
const POLLED_WAKES: usize = 260;
/// Most wakes at the start: the wake latency is measured, and each CPU answers.
const START: usize = 30;
/// Each sleep of the serving CPU is shorter than this, and each of a parked CPU is longer: a parked CPU wakes once a second.
const SHORT: u64 = TICKS / 2;
/// The longest sleep of the serving CPU; an external interrupt may end a sleep earlier.
const LONGEST: u64 = TICKS / 50;
/// Cedes of each parked CPU, at least and at most: a second each, some of them at the start and at the end.
const PARKED: std::ops::RangeInclusive<usize> = 9..=14;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let config = GuestConfig::new(Firmware::Vof, false, true);
    let kinds = [("idle", 1, "auto"), ("idle/smp-4", 4, "auto"), ("idle/poll", 1, "poll")];
    let mut tests: Vec<Test> = kinds
        .into_iter()
        .map(|(name, smp, irq)| {
            let config = GuestConfig { smp, ..config };
            Test::new(format!("interrupts/{name}"), move |context| {
                let (finished, findings) = idle(context, config, irq)?;
                verdict(finished, findings)
            })
        })
        .collect();
    tests.push(Test::new("interrupts/idle/twin", move |context| awake(context, config)));
    tests
}

/// A guest that serves a network without traffic.
fn idle(context: &Context, config: GuestConfig, irq: &str) -> Result<(Finished, Vec<Finding>), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    let finished = serve(&mut fixture, irq, SERVED)?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "net0.serve", "done"));
    findings.extend(slept(&finished.cedes, SERVED, irq, config.smp));
    Ok((finished, findings))
}

/// A kernel that never sleeps and does everything else fails these checks.
fn awake(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    let kernel = fixture.dir.path("twin");
    twin::without_cede(&context.kernel, &kernel).map_err(|error| Finding::File(kernel.clone(), error))?;
    fixture.machine.kernel = kernel;
    let finished = serve(&mut fixture, "auto", TWIN_SERVED)?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "net0.serve", "done"));
    if slept(&finished.cedes, TWIN_SERVED, "auto", config.smp).is_empty() {
        findings.push(Finding::Unnoticed);
    }
    verdict(finished, findings)
}

fn serve(fixture: &mut Fixture, irq: &str, seconds: u64) -> Result<Finished, Failure> {
    fixture.machine.net = Net::User;
    fixture.word(&format!("irq={irq} run=net-serve serve={seconds} ip=10.0.2.15/24 gw=10.0.2.2"));
    let words = ["-icount", CLOCK, "-trace", cedes::EVENT, "-d", "int"];
    fixture.machine.extra.extend(words.map(str::to_owned));
    fixture.boot()
}

/// Checks that the serving CPU slept and did not wake often, and that the parked CPUs slept all the time.
fn slept(cedes: &Cedes, seconds: u64, irq: &str, smp: u32) -> Vec<Finding> {
    let (short, long): (Vec<u64>, Vec<u64>) = cedes.ticks.iter().partition(|ticks| **ticks < SHORT);
    let cut = LONGEST.saturating_mul(u64::try_from(cedes.externals).unwrap_or(u64::MAX));
    let asleep = short.iter().sum::<u64>().saturating_sub(cut);
    let least = seconds * TICKS / 100 * ASLEEP;
    let mut findings = Vec::new();
    if asleep < least {
        findings.push(Finding::TooFew { what: "ticks asleep", least, found: asleep });
    }
    let rate = if irq == "poll" { POLLED_WAKES } else { WAKES };
    let most = usize::try_from(seconds).unwrap_or(usize::MAX).saturating_mul(rate) + START;
    let wakes = short.len() + cedes.untimed;
    let parked = usize::try_from(smp.saturating_sub(1)).unwrap_or(usize::MAX);
    for (key, found, range) in [
        ("wakes of the CPU that serves", wakes, 1..=most),
        ("cedes of parked CPUs", long.len(), parked * PARKED.start()..=parked * PARKED.end()),
    ] {
        if !range.contains(&found) {
            let expected = format!("{} to {}", range.start(), range.end());
            findings.push(Finding::Fact { key, expected, found: Some(found.to_string()) });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cedes(short: usize, ticks: u64, long: usize) -> Cedes {
        let mut cedes = Cedes::default();
        cedes.ticks.extend(std::iter::repeat_n(ticks, short).chain(std::iter::repeat_n(TICKS - 9, long)));
        cedes
    }

    #[test]
    fn a_guest_that_sleeps_passes() {
        assert!(slept(&cedes(500, TICKS / 50, 0), 10, "auto", 1).is_empty());
        assert!(slept(&cedes(500, TICKS / 50, 36), 10, "auto", 4).is_empty());
        assert!(slept(&cedes(2500, TICKS / 250, 0), 10, "poll", 1).is_empty());
    }

    #[test]
    fn a_guest_that_stays_awake_or_wakes_too_often_or_wakes_a_parked_cpu_fails() {
        for (cedes, smp) in [
            (cedes(0, 0, 0), 1),
            (cedes(400, TICKS / 50, 0), 1),
            (cedes(2500, TICKS / 250, 0), 1),
            (cedes(500, TICKS / 50, 24), 4),
        ] {
            assert!(!slept(&cedes, 10, "auto", smp).is_empty());
        }
    }
}
