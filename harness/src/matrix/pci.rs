//! Devices behind PCI-to-PCI bridges and further host bridges: the guest finds, names, configures and drives each.

use crate::finding::{Finding, digest};
use crate::guest::firmware;
use crate::judge;
use crate::matrix::boot_matrix::{SERVING, disks, exchange};
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::interrupts;
use crate::matrix::runner::Test;
use crate::observe::pci::{Misplaced, functions, registers};
use crate::qemu::monitor::{Monitor, MonitorError};
use crate::qemu::process::Ended;
use crate::session::{Finished, Session, last_line};
use crate::variable::{Firmware, Net};
use std::collections::BTreeSet;
use std::path::Path;

/// Exit status: a device is missing or failed.
const MISSING: u8 = 6;
/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
/// QEMU's names of a disk and of a card.
const DISK: &str = "virtio-blk-pci";
const CARD: &str = "virtio-net-pci";
/// Bytes of the disk that is read, and of the one that is written.
const BYTES: u64 = (1 << 20) + 512;

/// Where two disks and a card are.
#[derive(Clone, Copy, Debug)]
struct Layout {
    name: &'static str,
    /// As `-device` has them.
    bridges: &'static [&'static str],
    /// The buses of the disks and of the card, as QEMU names them.
    buses: [&'static str; 3],
    /// The guest's names for them.
    ids: [&'static str; 3],
}

/// The same place behind two host bridges, and a host bridge whose number is not the next one.
const HOST_BRIDGES: Layout = Layout {
    name: "host-bridges",
    bridges: &["spapr-pci-host-bridge,index=1,id=b", "spapr-pci-host-bridge,index=30,id=c"],
    buses: ["pci.0,addr=3", "b.0,addr=3", "c.0,addr=3"],
    ids: ["0000:00:03.0", "0001:00:03.0", "001e:00:03.0"],
};

/// A disk behind a bridge, a disk behind a bridge behind a bridge, and a card on the host bridge's own bus.
const TWO_LEVELS: Layout = Layout {
    name: "two-levels",
    bridges: &["pci-bridge,id=p,chassis_nr=1,addr=7", "pci-bridge,id=q,chassis_nr=2,bus=p,addr=2"],
    buses: ["p,addr=5", "q,addr=9", "pci.0,addr=3"],
    // Devices are found bus by bus.
    ids: ["0000:01:05.0", "0000:02:09.0", "0000:00:03.0"],
};

/// A bridge behind each of two host bridges, and another one next to the first. SLOF does not support such a machine: it
/// cannot update its tree after the negotiation ("Cannot handle FDT update"), and starts again for ever.
const BRIDGE_EACH: Layout = Layout {
    name: "bridge-each",
    bridges: &[
        "spapr-pci-host-bridge,index=1,id=b",
        "pci-bridge,id=p,chassis_nr=1,bus=pci.0,addr=1",
        "pci-bridge,id=q,chassis_nr=2,bus=b.0,addr=1",
        "pci-bridge,id=r,chassis_nr=3,bus=pci.0,addr=2",
    ],
    buses: ["p,addr=3", "q,addr=3", "r,addr=3"],
    ids: ["0000:01:03.0", "0001:01:03.0", "0000:02:03.0"],
};

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for layout in [HOST_BRIDGES, TWO_LEVELS, BRIDGE_EACH] {
        for firmware in Firmware::ALL {
            if layout.name == BRIDGE_EACH.name && firmware == Firmware::Slof {
                continue;
            }
            for secure in [true, false] {
                let mode = if secure { "secure" } else { "normal" };
                let config = GuestConfig::new(firmware, secure, true);
                let name = format!("pci/{}/{}/{mode}", layout.name, firmware.name());
                tests.push(Test::new(name, move |context| whole_job(context, config, layout)));
            }
        }
    }
    for (irq, delivery) in [("auto", "msi-x"), ("lsi", "lsi"), ("poll", "poll")] {
        let config = GuestConfig::new(Firmware::Vof, true, true);
        let name = format!("pci/interrupts/{irq}");
        tests.push(Test::new(name, move |context| interrupts(context, config, irq, delivery)));
    }
    tests.push(Test::new("pci/bridge-each/slof/no-start", no_start));
    tests.push(Test::new("pci/unused", unused));
    tests.push(Test::new("pci/masters", masters));
    for (name, translated) in [("virtio-iommu", true), ("virtio-iommu/ap-off", false)] {
        tests.push(Test::new(format!("pci/{name}"), move |context| virtio_iommu(context, translated)));
    }
    for (name, card) in [("uart", true), ("uart/none", false)] {
        tests.push(Test::new(format!("pci/{name}"), move |context| uart(context, card)));
    }
    tests
}

fn fixture(context: &Context, config: GuestConfig, layout: Layout) -> Result<Fixture, Failure> {
    let mut fixture = Fixture::new(context, config)?;
    fixture.machine.net = Net::User;
    fixture.machine.bridges = layout.bridges.iter().map(|bridge| (*bridge).to_owned()).collect();
    fixture.machine.buses = layout.buses.iter().map(|bus| (*bus).to_owned()).collect();
    Ok(fixture)
}

/// SLOF starts again for ever: the runner reports it long before any time limit. QEMU runs without `-no-reboot`, as usual.
fn no_start(context: &Context) -> Result<(), Failure> {
    let mut fixture = fixture(context, GuestConfig::new(Firmware::Slof, false, true), BRIDGE_EACH)?;
    fixture.data_disk(BYTES)?;
    fixture.scratch_disk(BYTES)?;
    fixture.machine.extra.extend(["-action", "reboot=reset"].map(str::to_owned));
    let finished = fixture.boot()?;
    let mut findings = Vec::new();
    let expected = Ended::Firmware(firmware::LIMIT);
    if finished.ended != expected {
        let errors = last_line(&finished.output.errors);
        findings.push(Finding::Ended { expected, found: finished.ended, errors });
    }
    if !firmware::last_line_before_restart(&finished.output.console).starts_with("Cannot handle FDT update") {
        findings.push(Finding::NeverSaid("Cannot handle FDT update"));
    }
    verdict(finished, findings)
}

/// Each kind of interrupt passes two bridges.
fn interrupts(context: &Context, config: GuestConfig, irq: &str, delivery: &str) -> Result<(), Failure> {
    let mut fixture = fixture(context, config, TWO_LEVELS)?;
    fixture.data_disk(BYTES)?;
    fixture.scratch_disk(BYTES)?;
    fixture.word(&format!("pool=4M irq={irq} run=demo,blk-pattern"));
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(interrupts::delivered(&finished, irq, delivery));
    verdict(finished, findings)
}

/// Devices without a driver, on both sides of a bridge, are named and counted, and are no failure.
fn unused(context: &Context) -> Result<(), Failure> {
    let mut fixture = fixture(context, GuestConfig::new(Firmware::Vof, false, true), TWO_LEVELS)?;
    fixture.data_disk(BYTES)?;
    fixture.scratch_disk(BYTES)?;
    fixture.machine.extra.extend(
        ["-device", "qemu-xhci,bus=p,addr=1", "-device", "virtio-balloon-pci,bus=pci.0,addr=9"]
            .map(str::to_owned),
    );
    fixture.machine.uart = Some(fixture.dir.path("uart"));
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "devices.unused", "3"));
    findings.extend(judge::fact(&finished, "devices.refused", "0"));
    for said in [
        "pci 0000:01:01.0 1b36:000d class 0c0330: not used: no driver",
        "pci 0000:00:09.0 1af4:1002 class 00ff00: not used: no driver",
        ": not used: console=uart would use it",
    ] {
        if !finished.output.console.contains(said) {
            findings.push(Finding::NeverSaid(said));
        }
    }
    verdict(finished, findings)
}

/// A virtio-iommu takes the place of the platform's tables for the devices behind its host bridge: one that translates is
/// refused by name before it could time out, one that does not works.
fn virtio_iommu(context: &Context, translated: bool) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, translated, translated))?;
    fixture.machine.net = Net::None;
    let data = fixture.data_disk(BYTES)?;
    fixture.machine.extra.extend(["-device", "virtio-iommu-pci,addr=9"].map(str::to_owned));
    fixture.word("run=blk-digest");
    let expected = digest(&data)?;
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, if translated { MISSING } else { 0 });
    findings.extend(judge::fact(&finished, "devices.refused", if translated { "1" } else { "0" }));
    findings.extend(judge::fact(&finished, "devices.unused", "1"));
    let said = "refused: the virtio-iommu 0000:00:09.0 translates its addresses, and has no driver";
    if finished.output.console.contains(said) != translated {
        findings.push(Finding::NeverSaid(said));
    }
    if !translated {
        findings.extend(judge::fact(&finished, "blk0.sha256", &expected));
    }
    verdict(finished, findings)
}

/// An exception while devices behind bridges have buffers: bus mastering is turned off for each of them, and for each
/// bridge above them, before the guest ends.
fn masters(context: &Context) -> Result<(), Failure> {
    let mut fixture =
        fixture(&context.on_test_image(), GuestConfig::new(Firmware::Vof, true, true), TWO_LEVELS)?;
    fixture.data_disk(BYTES)?;
    fixture.scratch_disk(BYTES)?;
    fixture.word("pool=4M run=blk-digest,breach-null-read");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, EXCEPTION);
    let said = "bus mastering off in 5 of 5";
    if !finished.output.console.contains(said) {
        findings.push(Finding::NeverSaid(said));
    }
    verdict(finished, findings)
}

/// `console=uart` writes to a card behind a bridge; without a card the guest says that it is missing.
fn uart(context: &Context, card: bool) -> Result<(), Failure> {
    let mut fixture = fixture(context, GuestConfig::new(Firmware::Vof, false, true), TWO_LEVELS)?;
    fixture.data_disk(BYTES)?;
    fixture.scratch_disk(BYTES)?;
    let written = fixture.dir.path("uart");
    if card {
        let chardev = format!("file,id=serial,path={}", written.display());
        let words = ["-chardev", &chardev, "-device", "pci-serial,chardev=serial,bus=q,addr=4"];
        fixture.machine.extra.extend(words.map(str::to_owned));
    }
    fixture.word("console=uart run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, if card { 0 } else { MISSING });
    findings.extend(judge::fact(&finished, "console.uart", if card { "attached" } else { "none" }));
    let end = format!("EXIT: STATUS={}", if card { 0 } else { MISSING });
    let heard = std::fs::read_to_string(&written).unwrap_or_default();
    if card && !heard.contains(&end) {
        findings.push(Finding::NeverSaid("EXIT: STATUS=0"));
    }
    let said = "console=uart: there is no 16550 on a PCI card";
    if finished.output.console.contains(said) == card {
        findings.push(Finding::NeverSaid(said));
    }
    verdict(finished, findings)
}

/// Reads a disk, overwrites a disk and answers the network; the host checks all three.
fn whole_job(context: &Context, config: GuestConfig, layout: Layout) -> Result<(), Failure> {
    let mut fixture = fixture(context, config, layout)?;
    let seed = seed();
    let data = fixture.data_disk(BYTES)?;
    let scratch = fixture.scratch_disk(BYTES)?;
    fixture.word(&format!("pool=4M run=blk-digest,blk-pattern,net-serve serve=100 seed={seed}"));
    let expected = digest(&data)?;
    let mut session = fixture.start()?;
    let (qemu, mut findings) = placed(&session);
    findings.extend(exchange(&mut session, seed));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "blk0.sha256", &expected));
    findings.extend(judge::fact(&finished, "devices.refused", "0"));
    findings.extend(names(&finished, layout));
    findings.extend(same_functions(&finished, qemu));
    findings.extend(disks(&data, &expected, &scratch, seed));
    if config.secure {
        findings.extend(judge::exposure(&finished, true));
        findings.extend(judge::fact(&finished, "pages.exposed", "0"));
    }
    verdict(finished, findings)
}

/// The disks and cards that QEMU has while the guest serves, and faults of their registers.
pub(super) fn placed(session: &Session) -> (BTreeSet<String>, Vec<Finding>) {
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        return (BTreeSet::new(), vec![Finding::NeverSaid(SERVING)]);
    }
    let query = || -> Result<_, MonitorError> {
        let socket = session.machine.monitor.as_deref().unwrap_or_else(|| Path::new(""));
        let mut monitor = Monitor::connect(socket)?;
        Ok((monitor.devices()?, monitor.pci()?))
    };
    match query() {
        Ok((tree, buses)) => {
            let wrong = registers(&buses).into_iter().map(Finding::Misplaced).collect();
            (functions(&tree, &[DISK, CARD]), wrong)
        }
        Err(error) => (BTreeSet::new(), vec![Finding::Monitor(error)]),
    }
}

/// The guest's facts name the functions that QEMU has, and no other.
fn same_functions(finished: &Finished, qemu: BTreeSet<String>) -> Option<Finding> {
    let facts = [("blk0.device", DISK), ("blk1.device", DISK), ("net0.device", CARD)];
    let named = |(key, kind)| finished.report.fact(key).map(|id| format!("{id} {kind}"));
    let guest: BTreeSet<String> = facts.into_iter().filter_map(named).collect();
    (guest != qemu).then_some(Finding::Misplaced(Misplaced::Functions { guest, qemu }))
}

fn names(finished: &Finished, layout: Layout) -> impl Iterator<Item = Finding> {
    ["blk0.device", "blk1.device", "net0.device"]
        .into_iter()
        .zip(layout.ids)
        .filter_map(|(key, id)| judge::fact(finished, key, id))
}
