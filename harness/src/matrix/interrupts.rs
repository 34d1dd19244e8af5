//! Interrupts: the whole job works with each kind, and sleeping until an interrupt takes few hypercalls.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::session::Finished;
use crate::variable::{Firmware, Net};

/// Hypercalls that a read by interrupt may make beyond the notification, in the median of 500: H_CEDE, H_XIRR, H_EOI.
/// The time of such a read depends on the host's load; `make bench` measures it.
const HCALLS: u64 = 3;
/// A disk that takes 1.5 ms for each request: the guest sleeps instead of polling. It has an I/O thread of its own: QEMU's
/// main loop rounds a delay up to whole milliseconds when it is idle.
const SLOW: &str = "if=none,id=slow,driver=null-co,size=16M,read-zeroes=on,latency-ns=1500000";
/// Least number of interrupts during 500 reads of it. On an idle host the guest sleeps in nearly every read; on a busy one
/// the guest may not run until the answer is there.
const SLEPT: u64 = 50;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (irq, delivery) in [("auto", "msi-x"), ("lsi", "lsi"), ("poll", "poll")] {
        let configs = [
            ("secure", GuestConfig::new(Firmware::Bios, true, true)),
            ("normal", GuestConfig::new(Firmware::Vof, false, false)),
        ];
        for (mode, config) in configs {
            tests.push(Test::new(format!("interrupts/{irq}/{mode}"), move |context| {
                job(context, config, irq, delivery)
            }));
        }
    }
    for smp in [1, 2, 4] {
        for config in
            [GuestConfig::new(Firmware::Bios, true, true), GuestConfig::new(Firmware::Bios, false, false)]
        {
            let mode = if config.secure { "secure" } else { "normal" };
            let config = GuestConfig { smp, ..config };
            tests.push(Test::new(format!("cpus/{smp}/{mode}"), move |context| cpus(context, config)));
        }
    }
    let config = GuestConfig::new(Firmware::Vof, false, true);
    for (name, slow) in [("cost", false), ("cost/slow-disk", true)] {
        tests.push(Test::new(format!("interrupts/{name}"), move |context| cost(context, config, slow)));
    }
    tests
}

/// Disk and network with interrupts of one kind.
fn job(context: &Context, config: GuestConfig, irq: &str, delivery: &str) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    fixture.data_disk(1 << 20)?;
    fixture.scratch_disk(1 << 20)?;
    fixture.machine.net = Net::User;
    fixture.word(&format!("irq={irq} run=demo,blk-pattern"));
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(delivered(&finished, irq, delivery));
    verdict(finished, findings)
}

/// Checks that both disks and the card have interrupts of one kind, and that none came from an unknown source.
pub(super) fn delivered(finished: &Finished, irq: &str, delivery: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for key in ["blk0.interrupts", "blk1.interrupts", "net0.interrupts"] {
        findings.extend(judge::fact(finished, key, delivery));
    }
    findings.extend(match irq {
        "poll" => judge::fact(finished, "irq.taken", "0"),
        _ => judge::positive(finished, "irq.taken"),
    });
    findings.extend(judge::fact(finished, "irq.unknown", "0"));
    findings
}

/// Every CPU runs and answers an interrupt from the boot CPU; all follow the rules of a secure guest.
fn cpus(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    fixture.data_disk(1 << 20)?;
    fixture.word("run=map,blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    let (online, answered) = (config.smp.to_string(), (config.smp - 1).to_string());
    findings.extend(judge::fact(&finished, "cpu.online", &online));
    findings.extend(judge::fact(&finished, "cpu.answered", &answered));
    findings.extend(judge::strict(&finished));
    if config.secure {
        findings.extend(judge::exposure(&finished, config.access_platform));
    }
    verdict(finished, findings)
}

/// The guest's own count of hypercalls for 4 KiB reads, of `make run`'s kind of disk or of a slow one.
fn cost(context: &Context, config: GuestConfig, slow: bool) -> Result<(), Failure> {
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    if slow {
        let device = "virtio-blk-pci,drive=slow,iothread=io,disable-legacy=on,iommu_platform=on";
        let words = ["-object", "iothread,id=io", "-drive", SLOW, "-device", device];
        fixture.machine.extra.extend(words.map(str::to_owned));
    } else {
        fixture.data_disk(1 << 20)?;
    }
    fixture.word("run=irq-cost");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(beyond_limits(&finished, slow));
    verdict(finished, findings)
}

fn beyond_limits(finished: &Finished, slow: bool) -> Vec<Finding> {
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
