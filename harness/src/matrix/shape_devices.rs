//! Devices at many places: nine host bridges, bridges behind bridges, several functions of one device, and devices without
//! a driver.

use crate::disk::{self, Disk};
use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::boot_matrix::{SERVING, exchange};
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::pci::placed;
use crate::matrix::runner::Test;
use crate::observe::pci::Misplaced;
use crate::qemu::monitor::Monitor;
use crate::session::Finished;
use crate::variable::{Firmware, Net};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// QEMU's names of a disk and of a card.
const DISK: &str = "virtio-blk-pci";
const CARD: &str = "virtio-net-pci";
/// Host bridges: the first, and eight more.
const HOST_BRIDGES: usize = 9;
/// Bridges behind each other, as many as the kernel follows.
const LEVELS: usize = 8;

/// Devices without a driver in the guest, as arguments of `-device`: those that need no file, back end or host device.
const UNKNOWN: [&str; 26] = [
    "virtio-balloon-pci",
    "virtio-scsi-pci",
    "virtio-serial-pci",
    "virtio-keyboard-pci",
    "virtio-crypto-pci,cryptodev=crypto",
    "nec-usb-xhci",
    "qemu-xhci",
    "usb-ehci",
    "pci-ohci",
    "piix3-usb-uhci",
    "VGA,romfile=",
    "secondary-vga",
    "e1000,romfile=",
    "e1000e,romfile=",
    "rtl8139,romfile=",
    "pcnet,romfile=",
    "nvme,serial=x",
    "megasas,romfile=",
    "lsi53c895a",
    "pvscsi",
    "ich9-ahci",
    "sdhci-pci",
    "intel-hda",
    "pci-testdev",
    "edu",
    "i6300esb",
];
/// Devices of the hypervisor's own bus, and the guest's names for them.
const VIRTUAL: [(&str, &str); 3] =
    [("spapr-vscsi", "IBM,v-scsi"), ("spapr-vlan", "IBM,l-lan"), ("spapr-vty,chardev=nobody", "hvterm1")];

/// A machine with places for its devices.
struct Places {
    bridges: Vec<String>,
    /// The bus of each disk, and last of the card.
    buses: Vec<String>,
}

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for secure in [true, false] {
        let mode = if secure { "secure" } else { "normal" };
        let mut add = |name: &str, places: fn() -> Places| {
            tests.push(Test::new(format!("shape/{name}/{mode}"), move |context| {
                everything_works(context, secure, places())
            }));
        };
        add("nine-host-bridges", nine_host_bridges);
        add("functions-and-levels", functions_and_levels);
    }
    tests.push(Test::new("shape/unknown-devices", unknown_devices));
    tests
}

/// A disk behind each host bridge, and a card behind the last. The bridges' numbers are not in the order of the options.
fn nine_host_bridges() -> Places {
    let index = |number: usize| HOST_BRIDGES - number;
    let bridge = |number: usize| format!("spapr-pci-host-bridge,index={0},id=b{0}", index(number));
    let mut buses = vec!["pci.0,addr=2".to_owned()];
    buses.extend((1..HOST_BRIDGES).map(|number| format!("b{0}.0,addr={number}", index(number))));
    buses.push("b1.0,addr=1f".to_owned());
    Places { bridges: (1..HOST_BRIDGES).map(bridge).collect(), buses }
}

/// Two bridges that are functions of one device, seven more behind the second, and devices with several functions at both
/// ends.
fn functions_and_levels() -> Places {
    let mut bridges = vec![
        "pci-bridge,id=other,chassis_nr=100,bus=pci.0,addr=3.0,multifunction=on".to_owned(),
        "pci-bridge,id=p1,chassis_nr=1,bus=pci.0,addr=3.1".to_owned(),
    ];
    let deeper =
        |level: usize| format!("pci-bridge,id=p{level},chassis_nr={level},bus=p{},addr=3", level - 1);
    bridges.extend((2..=LEVELS).map(deeper));
    let deepest = format!("p{LEVELS}");
    let buses = [
        "pci.0,addr=5.0,multifunction=on".to_owned(),
        "pci.0,addr=5.7,multifunction=on".to_owned(),
        "other,addr=1f".to_owned(),
        format!("{deepest},addr=1.0,multifunction=on"),
        format!("{deepest},addr=1.6"),
        "pci.0,addr=5.3".to_owned(),
    ];
    Places { bridges, buses: buses.to_vec() }
}

/// Checks the content of each disk and the card's traffic, and compares the places with QEMU's.
fn everything_works(context: &Context, secure: bool, places: Places) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, secure, true))?;
    let seed = seed();
    let mut digests = BTreeSet::new();
    for number in 1..places.buses.len() as u64 {
        let image = fixture.dir.path(&format!("data{number}"));
        disk::make(&image, (number << 16) + 512, seed.wrapping_add(number << 32))
            .map_err(|error| Finding::File(image.clone(), error))?;
        digests.insert(digest(&image)?);
        fixture.machine.disks.push(Disk::data(image));
    }
    fixture.machine.net = Net::User;
    fixture.machine.bridges = places.bridges;
    fixture.machine.buses = places.buses;
    fixture.word(&format!("pool=16M run=blk-digest,net-serve serve=100 seed={seed}"));
    let mut session = fixture.start()?;
    let (qemu, mut findings) = placed(&session);
    findings.extend(exchange(&mut session, seed));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "devices.refused", "0"));
    let guest = used(&finished);
    if guest != qemu {
        findings.push(Finding::Misplaced(Misplaced::Functions { guest, qemu }));
    }
    let read = values(&finished, ".sha256").map(|(_, digest)| digest.to_owned()).collect::<BTreeSet<_>>();
    if read != digests {
        let text = |set: &BTreeSet<String>| Some(set.iter().cloned().collect::<Vec<_>>().join(" "));
        findings.push(Finding::OtherWords { expected: text(&digests), found: text(&read) });
    }
    if secure {
        findings.extend(judge::exposure(&finished, true));
        findings.extend(judge::fact(&finished, "pages.exposed", "0"));
    }
    verdict(finished, findings)
}

/// Facts of disks and cards whose keys end with `end`.
fn values<'a>(finished: &'a Finished, end: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let is_device = |key: &str| key.starts_with("blk") || key.starts_with("net");
    finished.report.facts().filter(move |(key, _)| is_device(key) && key.ends_with(end))
}

/// The functions that the guest says it uses.
fn used(finished: &Finished) -> BTreeSet<String> {
    let kind = |key: &str| if key.starts_with("blk") { DISK } else { CARD };
    values(finished, ".device").map(|(key, id)| format!("{id} {}", kind(key))).collect()
}

/// Whether this QEMU has the device. `-device help` is not used: it loads every installed module.
fn has(context: &Context, device: &str) -> bool {
    let name = device.split(',').next().unwrap_or(device);
    let asked = Command::new(&context.qemu).args(["-device", &format!("{name},help")]).output();
    asked.is_ok_and(|output| output.status.success())
}

/// Each is named and counted, and the disk among them is read.
fn unknown_devices(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
    let data = fixture.data_disk(1 << 20)?;
    let back_ends = ["-object", "cryptodev-backend-builtin,id=crypto", "-chardev", "null,id=nobody"];
    fixture.machine.extra.extend(back_ends.map(str::to_owned));
    let known: Vec<&str> = UNKNOWN
        .into_iter()
        .chain(VIRTUAL.map(|(device, _)| device))
        .filter(|device| has(context, device))
        .collect();
    fixture.machine.extra.extend(known.iter().flat_map(|device| ["-device", device]).map(str::to_owned));
    fixture.word("run=blk-digest,net-serve serve=100");
    fixture.machine.net = Net::User;
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    }
    let socket = session.machine.monitor.clone();
    let ids =
        Monitor::connect(socket.as_deref().unwrap_or(Path::new(""))).and_then(|mut qemu| qemu.pci_ids());
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
    findings.extend(judge::fact(&finished, "devices.refused", "0"));
    let mut unused: Vec<String> = match ids {
        // The disk and the card.
        Ok(ids) => ids.into_iter().filter(|id| !matches!(&**id, "1af4:1042" | "1af4:1041")).collect(),
        Err(error) => {
            findings.push(Finding::Monitor(error));
            Vec::new()
        }
    };
    if unused.len() < 20 {
        findings.push(Finding::TooFew {
            what: "PCI functions without a driver",
            least: 20,
            found: unused.len() as u64,
        });
    }
    unused.extend(
        VIRTUAL.into_iter().filter(|(device, _)| known.contains(device)).map(|(_, kind)| kind.to_owned()),
    );
    findings.extend(judge::fact(&finished, "devices.unused", &unused.len().to_string()));
    for id in unused {
        let is_line = |line: &&str| line.contains(&*id) && line.contains(": not used: no driver");
        if !finished.output.console.lines().any(|line| is_line(&line)) {
            findings.push(Finding::Unnamed(id));
        }
    }
    verdict(finished, findings)
}
