//! CPUs, threads, memory nodes and plugged memory: the guest uses all that QEMU has.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT};
use crate::matrix::runner::Test;
use crate::matrix::shape_machines::{is_refused, named};
use crate::qemu::monitor::{Monitor, MonitorError};
use crate::session::Finished;
use crate::variable::Firmware;
use std::path::Path;

/// Bytes of the disk that is read.
const BYTES: u64 = 1 << 20;
/// CPUs that the kernel has stacks for.
const WORKING: u64 = 16;
/// Numbers of CPUs to test; the last is more than the kernel uses.
const COUNTS: [u32; 7] = [1, 2, 3, 7, 12, 16, 18];
/// Threads of each core.
const THREADS: [u32; 3] = [2, 4, 8];
/// QEMU 7.2's message for them.
const NO_THREADS: &str = "TCG cannot support more than 1 thread/core on a pseries machine";
/// Blocks are no smaller than 1 MiB: what is left at the end of memory may be.
const ROUNDING: u64 = 8 << 20;

/// How memory and CPUs are spread.
#[derive(Clone, Copy, Debug)]
struct Spread {
    name: &'static str,
    options: &'static str,
    /// One past the highest address of memory.
    top: u64,
}

/// Two halves, m0 and m1.
const HALVES: &str = "-object memory-backend-ram,id=m0,size=256M -object memory-backend-ram,id=m1,size=256M";
const WHOLE: &str = "-object memory-backend-ram,id=m0,size=512M";
const HALF_GIB: u64 = 512 << 20;
/// Plugged memory begins at a multiple of 1 GiB.
const PLUGGED: u64 = 1 << 30;

const SPREADS: [Spread; 8] = [
    Spread {
        name: "two-nodes",
        options: "-numa node,cpus=0-7,memdev=m0 -numa node,cpus=8-15,memdev=m1",
        top: HALF_GIB,
    },
    Spread {
        name: "nodes-apart",
        options: "-numa node,nodeid=0,cpus=0-15,memdev=m0 -numa node,nodeid=1,memdev=m1 -numa dist,src=0,dst=1,val=80",
        top: HALF_GIB,
    },
    Spread {
        name: "first-node-without-cpus",
        options: "-numa node,nodeid=0,memdev=m0 -numa node,nodeid=1,cpus=0-15,memdev=m1",
        top: HALF_GIB,
    },
    Spread {
        name: "node-without-memory",
        options: "-numa node,nodeid=0,cpus=0-7,memdev=m0 -numa node,nodeid=1,cpus=8-15",
        top: HALF_GIB,
    },
    Spread {
        name: "first-node-without-memory",
        options: "-numa node,nodeid=0,cpus=0-7 -numa node,nodeid=1,cpus=8-15,memdev=m0",
        top: HALF_GIB,
    },
    Spread {
        name: "pc-dimm",
        options: "-m 512M,slots=4,maxmem=8G -object memory-backend-ram,id=d0,size=256M -device pc-dimm,memdev=d0",
        top: PLUGGED + (256 << 20),
    },
    Spread {
        name: "three-pc-dimms-with-a-gap",
        options: "-m 512M,slots=4,maxmem=8G -object memory-backend-ram,id=d0,size=256M -device pc-dimm,memdev=d0 \
                  -object memory-backend-ram,id=d1,size=512M -device pc-dimm,memdev=d1 \
                  -object memory-backend-ram,id=d2,size=256M -device pc-dimm,memdev=d2,addr=0x100000000",
        top: (4 << 30) + (256 << 20),
    },
    Spread {
        name: "pc-dimm-of-the-second-node",
        options: "-m 512M,slots=4,maxmem=8G -numa node,nodeid=0,cpus=0-7,memdev=m0 \
                  -numa node,nodeid=1,cpus=8-15,memdev=m1 \
                  -object memory-backend-ram,id=d0,size=256M -device pc-dimm,memdev=d0,node=1",
        top: PLUGGED + (256 << 20),
    },
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = vec![Test::new("shape/cpus", cpus), Test::new("shape/threads", threads)];
    tests.extend(SPREADS.map(|spread| {
        Test::new(format!("shape/memory/{}", spread.name), move |context| {
            memory(context, spread, Firmware::Vof)
        })
    }));
    tests.push(Test::new("shape/memory/pc-dimm/slof", |context| memory(context, PC_DIMM, Firmware::Slof)));
    tests
}

const PC_DIMM: Spread = SPREADS[5];

/// Starts a guest at reset, asks QEMU's monitor, and lets the guest run.
fn asked<T>(
    fixture: &mut Fixture,
    ask: impl FnOnce(&mut Monitor) -> Result<T, MonitorError>,
) -> Result<(T, Finished), Failure> {
    fixture.machine.at_reset = true;
    let session = fixture.start()?;
    let socket = session.machine.monitor.clone();
    let answer = Monitor::connect(socket.as_deref().unwrap_or(Path::new(""))).and_then(|mut monitor| {
        let answer = ask(&mut monitor)?;
        monitor.cont()?;
        Ok(answer)
    });
    let answer = answer.map_err(Finding::Monitor)?;
    Ok((answer, session.finish(LIMIT)))
}

/// All CPUs use the disk, each by itself.
fn cpus(context: &Context) -> Result<(), Failure> {
    for smp in COUNTS {
        let config = GuestConfig { smp, ..GuestConfig::new(Firmware::Vof, false, true) };
        let mut fixture = Fixture::new(context, config)?;
        let data = fixture.data_disk(BYTES)?;
        fixture.word("run=blk-smp,blk-digest");
        let (count, finished) = asked(&mut fixture, Monitor::cpus)?;
        let mut findings = at_work(&finished, count);
        findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
        named(&format!("-smp {smp}"), finished, findings)?;
    }
    Ok(())
}

fn at_work(finished: &Finished, count: u64) -> Vec<Finding> {
    let mut findings = judge::end(finished, 0);
    let online = count.min(WORKING);
    findings.extend(judge::fact(finished, "cpu.threads", &count.to_string()));
    findings.extend(judge::fact(finished, "cpu.online", &online.to_string()));
    findings.extend(judge::fact(finished, "cpu.answered", &(online - 1).to_string()));
    let worked = |(key, _): &(&str, &str)| key.starts_with("blk0.cpu.") && key.ends_with(".server");
    let found = finished.report.facts().filter(worked).count() as u64;
    if found != online {
        findings.push(Finding::TooFew { what: "CPUs that worked on the disk", least: online, found });
    }
    findings
}

/// Cores with several threads, if TCG supports them.
fn threads(context: &Context) -> Result<(), Failure> {
    for threads in THREADS {
        let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
        fixture.data_disk(BYTES)?;
        fixture.machine.extra.extend(["-smp".to_owned(), format!("8,threads={threads}")]);
        fixture.word("run=blk-smp");
        let finished = fixture.boot()?;
        if is_refused(&finished, NO_THREADS) {
            return Err(Finding::Skipped(format!("QEMU says: {NO_THREADS}")).into());
        }
        let findings = at_work(&finished, 8);
        named(&format!("threads={threads}"), finished, findings)?;
    }
    Ok(())
}

/// All memory is there, and all of it can be filled.
fn memory(context: &Context, spread: Spread, firmware: Firmware) -> Result<(), Failure> {
    let config = GuestConfig { smp: 16, ..GuestConfig::new(firmware, false, true) };
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    let data = fixture.data_disk(BYTES)?;
    let backends = match (spread.options.contains("memdev=m1"), spread.options.contains("memdev=m0")) {
        (true, _) => HALVES,
        (false, true) => WHOLE,
        (false, false) => "",
    };
    let options = backends.split_whitespace().chain(spread.options.split_whitespace());
    fixture.machine.extra.extend(options.map(str::to_owned));
    fixture.word("run=blk-digest,memory");
    let (bytes, finished) = asked(&mut fixture, Monitor::memory)?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "memory.bytes", &bytes.to_string()));
    findings.extend(judge::fact(&finished, "cpu.online", "16"));
    findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
    let top = finished.report.number("memory.filled_top").unwrap_or(0);
    if !(spread.top - ROUNDING..=spread.top).contains(&top) {
        findings.push(Finding::Fact {
            key: "memory.filled_top",
            expected: format!("{:#x}, or little less", spread.top),
            found: Some(format!("{top:#x}")),
        });
    }
    named(spread.name, finished, findings)
}
