//! Interrupts: each kind does the whole job, an idle guest costs the host next to nothing, and sleeping until an
//! interrupt takes few hypercalls.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::cells::SERVING;
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, LIMIT, Scene, Shape, verdict};
use crate::session::Finished;
use crate::variable::{Firmware, Net};
use std::time::Duration;

/// How long an idle guest is watched, and how much of a host core it may use meanwhile. That is time of its own, to
/// which other work on the host only adds, by caches and clocks that it shares: the least of some looks counts.
/// What a wake costs differs between hosts; a guest that does not sleep uses a whole core.
const WATCHED: Duration = Duration::from_secs(5);
const SHARE: f64 = 0.05;
/// The same for a guest that polls: it wakes many times a second.
const POLLED_SHARE: f64 = 0.25;
const LOOKS: usize = 12;
/// What times in `/proc/PID/stat` count (proc(5): USER_HZ, 100 on every Linux of today).
const TICKS_A_SECOND: f64 = 100.0;
/// Hypercalls that a read by interrupt may make beyond the notification, in the median of 500: H_CEDE, H_XIRR, H_EOI.
/// What such a read takes in time depends on what else the host does; `make bench` measures it.
const HCALLS: u64 = 3;
/// A disk that takes so many nanoseconds for each request, too long to be looked for. It has an I/O thread of its own:
/// QEMU's main loop rounds a delay up to whole milliseconds when nothing else happens.
const SLOW: &str = "if=none,id=slow,driver=null-co,size=16M,read-zeroes=on,latency-ns=1500000";
/// Interrupts that come at least while 500 reads of it are made. On an idle host nearly every read is slept for; on a
/// busy one the guest may itself be kept waiting until the answer is there.
const SLEPT: u64 = 50;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (irq, delivery) in [("auto", "msi-x"), ("lsi", "lsi"), ("poll", "poll")] {
        let shapes = [
            ("secure", Shape::new(Firmware::Bios, true, true)),
            ("normal", Shape::new(Firmware::Vof, false, false)),
        ];
        for (mode, shape) in shapes {
            tests.push(Test::new(format!("interrupts/{irq}/{mode}"), move |context| {
                job(context, shape, irq, delivery)
            }));
        }
    }
    for (name, smp) in [("idle", 1), ("idle/smp-4", 4)] {
        let shape = Shape { smp, ..Shape::new(Firmware::Vof, false, true) };
        tests.push(Test::new(format!("interrupts/{name}"), move |context| idle(context, shape, "auto")));
    }
    for smp in [1, 2, 4] {
        for shape in [Shape::new(Firmware::Bios, true, true), Shape::new(Firmware::Bios, false, false)] {
            let mode = if shape.secure { "secure" } else { "normal" };
            let shape = Shape { smp, ..shape };
            tests.push(Test::new(format!("cpus/{smp}/{mode}"), move |context| cpus(context, shape)));
        }
    }
    let shape = Shape::new(Firmware::Vof, false, true);
    tests.push(Test::new("interrupts/idle/poll", move |context| idle(context, shape, "poll")));
    for (name, slow) in [("cost", false), ("cost/slow-disk", true)] {
        tests.push(Test::new(format!("interrupts/{name}"), move |context| cost(context, shape, slow)));
    }
    tests
}

/// Disk and network with interrupts of one kind.
fn job(context: &Context, shape: Shape, irq: &str, delivery: &str) -> Result<(), Failure> {
    let mut scene = Scene::new(context, shape)?;
    scene.data_disk(1 << 20)?;
    scene.scratch_disk(1 << 20)?;
    scene.machine.net = Net::User;
    scene.word(&format!("irq={irq} run=demo,blk-pattern"));
    let finished = scene.boot()?;
    let mut findings = judge::end(&finished, 0);
    for key in ["blk0.interrupts", "blk1.interrupts", "net0.interrupts"] {
        findings.extend(judge::fact(&finished, key, delivery));
    }
    findings.extend(match irq {
        "poll" => judge::fact(&finished, "irq.taken", "0"),
        _ => judge::positive(&finished, "irq.taken"),
    });
    findings.extend(judge::fact(&finished, "irq.unknown", "0"));
    verdict(finished, findings)
}

/// Every CPU runs, and answers an interrupt from the one that booted; all keep to the rules of a secure guest.
fn cpus(context: &Context, shape: Shape) -> Result<(), Failure> {
    let mut scene = Scene::new(context, shape)?;
    scene.data_disk(1 << 20)?;
    scene.word("run=map,blk-digest");
    let finished = scene.boot()?;
    let mut findings = judge::end(&finished, 0);
    let (online, answered) = (shape.smp.to_string(), (shape.smp - 1).to_string());
    findings.extend(judge::fact(&finished, "cpu.online", &online));
    findings.extend(judge::fact(&finished, "cpu.answered", &answered));
    findings.extend(judge::strict(&finished));
    if shape.secure {
        findings.extend(judge::exposure(&finished, shape.access_platform));
    }
    verdict(finished, findings)
}

/// A guest that serves a network on which nothing happens.
fn idle(context: &Context, shape: Shape, irq: &str) -> Result<(), Failure> {
    let mut scene = Scene::new(context, shape)?;
    scene.machine.net = Net::User;
    scene.word(&format!("irq={irq} run=net-serve serve=100 ip=10.0.2.15/24 gw=10.0.2.2"));
    let mut session = scene.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_some() {
        std::thread::sleep(Duration::from_secs(1));
        let share = if irq == "poll" { POLLED_SHARE } else { SHARE };
        let most = WATCHED.as_secs_f64() * share;
        let mut used = None;
        for _ in 0..LOOKS {
            let before = cpu_seconds(session.qemu.id());
            std::thread::sleep(WATCHED);
            used = before.zip(cpu_seconds(session.qemu.id())).map(|(before, after)| after - before);
            if used.is_some_and(|used| used <= most) {
                break;
            }
        }
        if used.is_none_or(|used| used > most) {
            let (expected, found) = (format!("at most {most} s"), used.map(|used| format!("{used} s")));
            findings.push(Finding::Fact { key: "host CPU time while idle", expected, found });
        }
    } else {
        findings.push(Finding::NeverSaid(SERVING));
    }
    // A guest that ended already says so by itself.
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    verdict(finished, findings)
}

/// Seconds that a process has run, all threads together, in user and kernel mode.
fn cpu_seconds(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th fields after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().ok());
    Some((times.next()?? + times.next()??) / TICKS_A_SECOND)
}

/// The guest's own count for 4 KiB reads, of a disk as `make run` has it or of a slow one.
fn cost(context: &Context, shape: Shape, slow: bool) -> Result<(), Failure> {
    let mut scene = Scene::new(context, shape)?;
    if slow {
        let device = "virtio-blk-pci,drive=slow,iothread=io,disable-legacy=on,iommu_platform=on";
        let words = ["-object", "iothread,id=io", "-drive", SLOW, "-device", device];
        scene.machine.extra.extend(words.map(str::to_owned));
    } else {
        scene.data_disk(1 << 20)?;
    }
    scene.word("run=irq-cost");
    let finished = scene.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(dear(&finished, slow));
    verdict(finished, findings)
}

fn dear(finished: &Finished, slow: bool) -> Vec<Finding> {
    let finding = |key, good: &dyn Fn(u64) -> bool, expected: String| {
        let found = finished.report.fact(key).map(str::to_owned);
        (!finished.report.number(key).is_some_and(good)).then_some(Finding::Fact { key, expected, found })
    };
    let most = 1 + HCALLS;
    let least = if slow { SLEPT } else { 0 };
    [
        finding("blk0.read_interrupt_hcalls", &|hcalls| hcalls <= most, format!("at most {most}")),
        finding("blk0.read_interrupts", &|interrupts| interrupts >= least, format!("at least {least}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_has_used_time() {
        let before = cpu_seconds(std::process::id()).unwrap();
        let mut number = 1u64;
        while cpu_seconds(std::process::id()).unwrap() < before + 0.05 {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
    }

    #[test]
    fn a_process_that_is_not_there_has_none() {
        assert_eq!(cpu_seconds(u32::MAX), None);
    }
}
