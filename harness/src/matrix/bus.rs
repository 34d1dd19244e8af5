//! Which devices may access memory, and when, as the hypervisor sees it: every change is a hypercall.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::peer::echo;
use crate::qemu::monitor::{Monitor, MonitorError};
use crate::session::Finished;
use crate::variable::{Firmware, Net};
use postern_cases::case;
use postern_ultravisor::host::{H_PUT_TCE, Rule, Seen, Subject, Value, What};

/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
const COMMAND: u8 = 4;
const BUS_MASTER: u64 = 1 << 2;
/// Two disks and a card.
const SLOTS: usize = 3;
/// Their rings: one of each disk; the card's receive, transmit and control queue.
const RINGS: usize = 5;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("TCE-05", Ignore, Q);
    let _ = case!("LIF-04", Work, Q);
    let _ = case!("LIF-03", Ignore, Q);
    vec![
        Test::new("bus/firmware-left-it-on", left_on),
        Test::new("bus/exception", exception),
        Test::new("bus/hot-plug", hot_plug),
    ]
}

fn fixture(context: &Context) -> Result<Fixture, Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    fixture.data_disk(64 << 10)?;
    fixture.scratch_disk(64 << 10)?;
    fixture.machine.net = Net::User;
    fixture.machine.dma_window = Some(4 << 20);
    fixture.word("pool=1M ip=10.0.2.15/24");
    Ok(fixture)
}

/// Rules that record the writes to the command register of each slot.
fn commands() -> Vec<Rule> {
    let of = |slot| Subject::ConfigWrite { slot, register: Some(COMMAND) };
    (0..SLOTS as u8).map(|slot| Rule::always(of(slot), What::Record)).collect()
}

/// The calls that a rule recorded, with their index among all recorded calls.
fn of(finished: &Finished, rule: usize) -> Vec<(usize, &Seen)> {
    let seen = finished.ultravisor.iter().flat_map(|report| &report.host).enumerate();
    seen.filter(|(_, seen)| seen.rule == rule).collect()
}

/// Whether a write to the command register lets the function access memory.
fn masters(seen: &Seen) -> bool {
    seen.arguments.get(4).is_some_and(|value| value & BUS_MASTER != 0)
}

/// Firmware left bus mastering on for every function. The guest turns it off before anything is mapped, and on again for
/// each function once the pool is mapped.
fn left_on(context: &Context) -> Result<(), Failure> {
    let mut fixture = fixture(context)?;
    fixture.word("run=blk-digest");
    let mut rules = commands();
    rules.push(Rule::always(Subject::Hcall(H_PUT_TCE), What::Record));
    for slot in 0..SLOTS as u8 {
        let read = Subject::ConfigRead { slot, register: Some(COMMAND) };
        rules.push(Rule::nth(read, 1, What::Result(Value::With(BUS_MASTER))));
    }
    if let Some(protection) = &mut fixture.protection {
        protection.host = rules;
    }
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::exposure(&finished, true));
    let puts = of(&finished, SLOTS);
    let ends = puts.first().zip(puts.last()).map(|(first, last)| (first.0, last.0));
    for slot in 0..SLOTS {
        let told = !of(&finished, SLOTS + 1 + slot).is_empty();
        let writes = of(&finished, slot);
        let off = writes.first().filter(|(_, seen)| !masters(seen)).map(|(place, _)| *place);
        let on = writes.iter().find(|(_, seen)| masters(seen)).map(|(place, _)| *place);
        match (off, ends, on) {
            (Some(off), Some((first, last)), Some(on)) if told && off < first && last < on => {}
            _ => findings.push(Finding::Order("bus mastering off, the pool mapped, bus mastering on")),
        }
    }
    verdict(finished, findings)
}

/// An exception while every device has buffers: bus mastering is turned off for each before the guest ends.
fn exception(context: &Context) -> Result<(), Failure> {
    let mut fixture = fixture(&context.on_test_image())?;
    fixture.word("run=blk-digest,breach-null-read");
    if let Some(protection) = &mut fixture.protection {
        protection.host = commands();
    }
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, EXCEPTION);
    for slot in 0..SLOTS {
        let writes = of(&finished, slot);
        let used = writes.iter().any(|(_, seen)| masters(seen));
        if !used || writes.last().is_none_or(|(_, seen)| masters(seen)) {
            findings.push(Finding::Order("bus mastering on, then off"));
        }
    }
    let console = &finished.output.console;
    let [taken, report] = ["bus mastering off in 3 of 3", "EXCEPTION 0x300"].map(|what| console.find(what));
    if taken.zip(report).is_none_or(|(taken, report)| taken >= report) {
        findings.push(Finding::Order("bus mastering off, then the report"));
    }
    verdict(finished, findings)
}

/// A disk that appears while the guest serves: the guest does not touch it and goes on.
fn hot_plug(context: &Context) -> Result<(), Failure> {
    let mut fixture = fixture(context)?;
    let seed = seed();
    fixture.word("run=blk-digest,net-serve serve=60");
    let slot = u8::try_from(SLOTS).unwrap_or(0);
    if let Some(protection) = &mut fixture.protection {
        let of = |register| Subject::ConfigWrite { slot, register };
        protection.host = vec![Rule::always(of(None), What::Record)];
    }
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    } else {
        let plugged = || -> Result<_, MonitorError> {
            let socket = session.machine.monitor.as_deref().unwrap_or_else(|| std::path::Path::new(""));
            let mut monitor = Monitor::connect(socket)?;
            monitor.plug_disk()?;
            let ports = monitor.forwarded()?;
            Ok((ports, monitor))
        };
        match plugged() {
            Ok((ports, mut monitor)) => {
                findings.extend(echo::all(ports, seed).err().map(Finding::Echo));
                // All rings belong to the devices that were there at boot.
                let rings = monitor.rings().map_err(Finding::Monitor)?;
                if rings.len() != RINGS {
                    findings.push(Finding::Order("boot, then the disk that nobody uses"));
                }
            }
            Err(error) => findings.push(Finding::Monitor(error)),
        }
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::exposure(&finished, true));
    findings.extend(judge::fact(&finished, "net0.serve", "done"));
    findings.extend(judge::fact(&finished, "devices.appeared", "1"));
    if finished.report.fact("blk2.id").is_some() || !of(&finished, 0).is_empty() {
        findings.push(Finding::Order("boot, then the disk that nobody uses"));
    }
    verdict(finished, findings)
}
