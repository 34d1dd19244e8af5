//! Makes each test of the registry fail: by a special machine, a hypervisor with wrong answers, or a host that changes the
//! guest's memory. A test without a row is an error.

use super::{BEGUN, ECHO, LEVEL_DISK, disks::BYTES, edit::Memory, machine};
use crate::finding::Finding;
use crate::guest::tap::{Tap, Verdict};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::qemu::monitor::Monitor;
use crate::session::Session;
use crate::variable::{Firmware, Net};
use postern_ultravisor::host::Subject::{ConfigRead, Hcall, Rtas, Store};
use postern_ultravisor::host::Value::Is;
use postern_ultravisor::host::What::{Answer, R3, Result as Changed};
use postern_ultravisor::host::{H_GET_TCE, H_PUT_TERM_CHAR, H_XIRR, Rule};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::Command;
use workloads::registry::Test as Guest;
use workloads::registry::Test::*;

/// Exit status: a test failed.
const TEST_FAILED: u8 = 14;
/// Exit status: devices reach more than the pool, according to the hypervisor.
const EXPOSED: u8 = 11;
/// A TCE that maps a page of the image.
const PRIVATE: u64 = 0x40_0003;
/// Calls of H_GET_TCE before the tests, for a window of 32 entries and a pool of 16 frames: see `host.rs`.
const TCES_READ: u64 = 2 + 1 + 32 + 16;
/// Most polls for interrupts before the tests; the first test sleeps hundreds of times.
const POLLS: u64 = 60;

/// The fault of a machine.
#[derive(Clone, Copy)]
enum Way {
    /// The hypervisor of a secure guest gives wrong answers.
    Lies(&'static [Rule]),
    /// QEMU gets further arguments.
    Arguments(&'static [&'static str]),
    /// The scratch disk forgets what is written.
    ForgetfulDisk,
    /// The first disk is made larger, and its new end cannot be read.
    EndFails,
    /// The source of random bytes has one byte.
    SameBytes,
    /// The card claims packets of 9000 bytes on a wire that carries 1500, and the echo changes letters.
    OtherNetwork,
    /// The network has no peer, and the link goes down once the tests begin.
    Unplugged,
    /// The network has no peer, and the card has an address and a gateway.
    SilentNetwork,
    /// Each page may be read, written and executed once the tests begin.
    OpenPages { secure: bool },
    /// Vectors of the first list return behind the interrupted instruction, those of the second list to it.
    Vectors(&'static [u64], &'static [u64]),
    /// Hypercalls of the first number are replaced by ones of the second.
    Calls { dynamic: bool, calls: &'static [(u16, u16)] },
    /// The second CPU has the first one's number.
    SameServer,
    /// The test image gives its devices private buffers.
    SkipsBounce,
}

/// A test that fails, and a part of the reason that it has to give.
type Fails = (Guest, &'static str);

/// The fault's name, the fault, the tests that fail, and the exit status.
const ROWS: [(&str, Way, &[Fails], u8); 21] = [
    (
        "terminal-that-takes-all",
        Way::Lies(&[Rule::always(Hcall(H_PUT_TERM_CHAR), R3(0))]),
        &[(ConsoleTerminal, "a terminal that is not there was not refused")],
        TEST_FAILED,
    ),
    (
        "other-clock",
        Way::Arguments(&["-icount", "shift=3,sleep=off", "-rtc", "clock=host"]),
        &[(ClockTimebase, "second of RTAS's clock did not come in time")],
        TEST_FAILED,
    ),
    (
        "date-before-1970",
        Way::Arguments(&["-rtc", "base=1960-01-01T00:00:00"]),
        &[(ClockDate, "year: 1960, not")],
        TEST_FAILED,
    ),
    (
        "skips-bounce",
        Way::SkipsBounce,
        &[(PoolSlots, "address of a lent buffer: "), (PoolBounce, "bytes copied out of the pool: 0, not")],
        TEST_FAILED,
    ),
    (
        "open-pages",
        Way::OpenPages { secure: false },
        &[
            (MmuTextWrite, "a store to instructions raised no interrupt"),
            (MmuDataExecute, "a jump into data raised no interrupt"),
            (MmuStackExecute, "a jump into the stack raised no interrupt"),
            (MmuNullRead, "a load near address 0 raised no interrupt"),
            (MmuGuardWrite, "a store below the stack raised no interrupt"),
        ],
        TEST_FAILED,
    ),
    (
        "open-pool",
        Way::OpenPages { secure: true },
        &[(MmuPoolExecute, "a jump into the pool raised interrupt 0x700")],
        TEST_FAILED,
    ),
    (
        "vectors-that-return",
        Way::Vectors(&[0x600, 0x700], &[0xc00]),
        &[
            (ExceptionTrap, "a trap raised no interrupt"),
            (ExceptionAlignment, "an unaligned ldarx raised no interrupt"),
            (ExceptionUltracall, "the answer to an ultracall is"),
        ],
        TEST_FAILED,
    ),
    // H_GET_TERM_CHAR becomes a call that succeeds, or one that rejects the terminal's number as a table's.
    (
        "other-calls",
        Way::Calls { dynamic: true, calls: &[(0xeffc, 0x54), (0x1c, 0x54), (0x380, 0x54)] },
        &[
            (HcallUnknown, "a hypercall that does not exist is 0x0"),
            (TceDirect, "H_GET_TCE: H_P1"),
            (IrqSystemReset, "the status of H_SIGNAL_SYS_RESET is"),
        ],
        TEST_FAILED,
    ),
    (
        "other-table",
        Way::Calls { dynamic: false, calls: &[(0x1c, 0x54)] },
        &[(TceOnDemand, "H_GET_TCE: H_P1")],
        TEST_FAILED,
    ),
    (
        "tables-that-lie",
        Way::Lies(&[Rule::from(Hcall(H_GET_TCE), TCES_READ + 1, Answer { status: 0, value: PRIVATE })]),
        &[
            (HcallParameter, "an entry of a table that is not there was not refused"),
            (TcePool, "an entry is 0x400003"),
            (SecureExposed, "was removed and can be read"),
        ],
        EXPOSED,
    ),
    (
        "no-interrupts",
        Way::Lies(&[Rule::from(Hcall(H_XIRR), POLLS, Answer { status: 0, value: 0 })]),
        &[
            (IrqDevice, "an interrupt of the disk did not come"),
            (IrqMessage, "an interrupt of the disk did not come"),
            (IrqLevel, "an interrupt of the disk did not come"),
            (IrqIpi, "an interrupt by H_IPI did not come"),
            (IrqDecrementer, "a decrementer interrupt did not come"),
        ],
        TEST_FAILED,
    ),
    (
        "other-config-space",
        Way::Lies(&[
            Rule::always(ConfigRead { slot: 0, register: Some(0x3c) }, Changed(Is(0))),
            Rule::from(ConfigRead { slot: 31, register: Some(0) }, 2, Answer { status: 0, value: 0x1234 }),
        ]),
        &[(PciConfig, "the interrupt line register is 0x0"), (PciAbsent, "what is not there is 0x1234")],
        TEST_FAILED,
    ),
    (
        "deaf-disk",
        Way::Lies(&[
            Rule::from(Store { device: 0, register: 0x3000, bytes: 2 }, 2, Answer { status: 0, value: 0 }),
            Rule::from(Store { device: 2, register: 0x3000, bytes: 2 }, 2, Answer { status: 0, value: 0 }),
        ]),
        &[(PoolBounce, "device broken: no answer in time")],
        TEST_FAILED,
    ),
    (
        "masks-all",
        Way::Lies(&[Rule::always(Rtas("ibm,int-off"), Answer { status: 0, value: 0 })]),
        &[(RtasParameter, "masking of an interrupt source that is not there was not refused")],
        TEST_FAILED,
    ),
    ("end-that-fails", Way::EndFails, &[(BlkResize, "I/O error")], TEST_FAILED),
    ("same-bytes", Way::SameBytes, &[(RngBytes, "different values of the random bytes: 1")], TEST_FAILED),
    (
        "forgetful-disk",
        Way::ForgetfulDisk,
        &[(BlkWrite, "does not read back as written"), (BlkFlush, "does not read back as written")],
        TEST_FAILED,
    ),
    (
        "other-network",
        Way::OtherNetwork,
        &[(NetMtu, "no answer from 10.0.2.2"), (NetTcp, "a byte that came back is")],
        TEST_FAILED,
    ),
    (
        "unplugged",
        Way::Unplugged,
        &[(NetLink, "the card says that it is down"), (NetUdp, "no DHCP lease within")],
        TEST_FAILED,
    ),
    (
        "silent-network",
        Way::SilentNetwork,
        &[(NetArp, "its hardware address is unknown"), (NetIcmp, "no answer from 10.0.2.2")],
        TEST_FAILED,
    ),
    ("cpus-of-one-number", Way::SameServer, &[(SmpWork, "a number that another CPU has")], TEST_FAILED),
];

/// A boot test for each row.
pub fn tests() -> Vec<Test> {
    let test = |(name, way, guests, status)| {
        Test::new(format!("registry/fails/{name}"), move |context| fails(context, way, guests, status))
    };
    ROWS.into_iter().map(test).collect()
}

fn fails(context: &Context, way: Way, guests: &[Fails], status: u8) -> Result<(), Failure> {
    let mut fixture = made(context, way)?;
    let wanted: Vec<(&str, &str)> =
        guests.iter().filter_map(|(test, words)| Some((test.entry()?.name, *words))).collect();
    let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    if matches!(way, Way::OtherNetwork) {
        fixture.word(&format!("echo={ECHO}"));
    }
    // The first test takes more than a second: enough time for a change from outside.
    fixture.word(&format!("test=clock/timebase,{}", names.join(",")));
    let mut session = fixture.start()?;
    let changed = change(&mut session, way);
    let finished = session.finish(LIMIT);
    let mut findings: Vec<Finding> = changed.err().into_iter().collect();
    findings.extend(judge::end(&finished, status));
    let tap = Tap::read(&finished.output.console);
    if !tap.is_whole() {
        let expected = tap.planned.unwrap_or(0);
        findings.push(Finding::Plan { planned: tap.planned, came: tap.tests.len(), expected });
    }
    for (name, words) in wanted {
        if !matches!(tap.verdict(name), Some(Verdict::NotOk(reason)) if reason.contains(words)) {
            let expected = Verdict::NotOk(words.to_owned());
            findings.push(Finding::GuestTest { name, expected, found: tap.verdict(name).cloned() });
        }
    }
    verdict(finished, findings)
}

/// The machine of a row.
fn made(context: &Context, way: Way) -> Result<Fixture, Failure> {
    if let Way::Lies(rules) = way {
        let config = GuestConfig { smp: 2, ..GuestConfig::new(Firmware::Bios, true, true) };
        let mut fixture = Fixture::new(&context.on_test_image(), config)?;
        let data = fixture.data_disk(BYTES)?;
        fixture.scratch_disk(BYTES)?;
        let fixed = crate::disk::Disk { read_only: true, ..crate::disk::Disk::data(data) };
        fixture.machine.disks.push(fixed);
        fixture.machine.extra.extend(LEVEL_DISK.map(str::to_owned));
        if rules.iter().any(|rule| rule.of == Hcall(H_GET_TCE)) {
            fixture.machine.dma_window = Some(4 << 20);
            fixture.word("pool=1M");
        }
        fixture.word("device-timeout=1");
        fixture.machine.extra.extend(["-global", "virtio-blk-pci.ioeventfd=off"].map(str::to_owned));
        if let Some(protection) = &mut fixture.protection {
            protection.host = rules.to_vec();
        }
        return Ok(fixture);
    }
    if matches!(way, Way::SkipsBounce) {
        // The disk does not go through a window, so its driver learns nothing of the wrong address.
        let config = GuestConfig::new(Firmware::Vof, true, false);
        let mut fixture = Fixture::new(context, config)?;
        fixture.machine.kernel = context.skip_bounce.clone();
        fixture.data_disk(BYTES)?;
        return Ok(fixture);
    }
    let (secure, dynamic) = match way {
        Way::OpenPages { secure } => (secure, true),
        Way::Calls { dynamic, .. } => (false, dynamic),
        _ => (false, true),
    };
    let mut fixture = machine(context, secure, dynamic)?;
    if !secure {
        fixture.machine.memory_file = Some(
            fixture
                .dir
                .memory(fixture.machine.memory)
                .map_err(|error| Finding::File(std::env::temp_dir(), error))?,
        );
    }
    match way {
        Way::Arguments(words) => {
            fixture.machine.extra.extend(words.iter().map(|word| (*word).to_owned()));
            fixture.machine.smp = 1;
        }
        Way::ForgetfulDisk => {
            fixture.machine.disks.clear();
            let drive = "driver=null-co,read-zeroes=on,size=2097152,node-name=nothing";
            let device = "virtio-blk-pci,drive=nothing,serial=scratch,disable-legacy=on,write-cache=on";
            fixture.machine.extra.extend(["-blockdev", drive, "-device", device].map(str::to_owned));
        }
        Way::EndFails => {
            let (end, image) = (BYTES / 512, fixture.dir.path("data"));
            fixture.machine.disks.clear();
            let drive = format!(
                "if=none,id=disk0,driver=blkdebug,image.driver=file,image.filename={},inject-error.0.event=none,\
                 inject-error.0.iotype=read,inject-error.0.sector={end},inject-error.0.errno=5",
                image.display()
            );
            let device = "virtio-blk-pci,drive=disk0,disable-legacy=on,iommu_platform=on";
            fixture.machine.extra.extend(["-drive", &drive, "-device", device].map(str::to_owned));
        }
        Way::SameBytes => {
            let constant = fixture.machine.extra.iter_mut().find(|word| word.starts_with("rng-builtin"));
            if let Some(word) = constant {
                "rng-random,id=random,filename=/dev/zero".clone_into(word);
            }
        }
        Way::OtherNetwork => {
            fixture.machine.net = Net::Netdev(format!("user,guestfwd=tcp:{ECHO}:7-cmd:tr a b"));
            fixture.machine.extra.extend(["-global", "virtio-net-device.host_mtu=9000"].map(str::to_owned));
        }
        Way::SilentNetwork => {
            fixture.machine.net = Net::Netdev("hubport,hubid=0".to_owned());
            fixture.word("ip=10.0.2.15/24 gw=10.0.2.2");
        }
        Way::Unplugged => fixture.machine.net = Net::Netdev("hubport,hubid=0".to_owned()),
        _ => {}
    }
    Ok(fixture)
}

/// Changes the running machine once the first test has begun.
fn change(session: &mut Session, way: Way) -> Result<(), Finding> {
    if !matches!(
        way,
        Way::EndFails
            | Way::Unplugged
            | Way::OpenPages { .. }
            | Way::Vectors(..)
            | Way::Calls { .. }
            | Way::SameServer
    ) {
        return Ok(());
    }
    session.qemu.console().wait_for(LIMIT, |line| line == BEGUN).ok_or(Finding::NeverSaid(BEGUN))?;
    let socket = session.machine.monitor.clone().unwrap_or_default();
    let mut monitor = Monitor::connect(&socket).map_err(Finding::Monitor)?;
    if matches!(way, Way::EndFails) {
        return monitor.resize(0, BYTES + 512).map_err(Finding::Monitor);
    }
    if matches!(way, Way::Unplugged) {
        return monitor.set_link(false).map_err(Finding::Monitor);
    }
    // With an ultravisor, only the ultravisor stops and continues the guest; in the first second no test uses the changed
    // memory.
    let secure = session.machine.attachment.is_some();
    if !secure {
        monitor.stop().map_err(Finding::Monitor)?;
    }
    let attached = session.machine.attachment.as_ref().map(|attachment| attachment.memory.clone());
    let path = attached.or_else(|| session.machine.memory_file.clone()).unwrap_or_default();
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let changed = file.map(Memory).and_then(|memory| match way {
        Way::OpenPages { .. } => memory.open_all_pages().map(|_| ()),
        Way::Vectors(past, to) => {
            past.iter().try_for_each(|vector| memory.return_at(*vector, true))?;
            to.iter().try_for_each(|vector| memory.return_at(*vector, false))
        }
        Way::Calls { calls, .. } => {
            calls.iter().try_for_each(|(from, to)| match memory.renumber(*from, *to)? {
                0 => Err(std::io::Error::other(format!("no call {from:#x}"))),
                _ => Ok(()),
            })
        }
        Way::SameServer => memory.same_server(slots(&session.machine.kernel)?),
        _ => Ok(()),
    });
    changed.map_err(|error| Finding::File(path, error))?;
    if matches!(way, Way::Calls { .. }) {
        // QEMU has translated the old instructions of calls that were made before.
        monitor.translate_anew().map_err(Finding::Monitor)?;
    }
    if secure { Ok(()) } else { monitor.cont().map_err(Finding::Monitor) }
}

/// Address in the image of the slots with which CPUs are started.
fn slots(image: &Path) -> io::Result<u64> {
    let said = Command::new("powerpc64le-linux-gnu-nm").arg(image).output()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = said.lines().find(|line| line.ends_with(" postern_secondary_slots"));
    let address = line.and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok());
    address.ok_or_else(|| io::Error::other("no postern_secondary_slots"))
}

#[cfg(test)]
mod tests {
    use super::{Guest, ROWS};
    use crate::matrix::registry::disks;
    use std::collections::BTreeSet;
    use workloads::registry::TESTS;

    /// Tests that no row makes fail, each with a host test that calls the same code and sees it fail. The marks are there
    /// for some milliseconds, so that a host that changes memory from outside would often be too late.
    const ON_THE_HOST: [(Guest, &str, &str); 1] = [(
        Guest::MemoryMarks,
        include_str!("../../../../crates/workloads/src/registry/marks.rs"),
        "a_word_that_changed_or_that_two_blocks_share_is_found",
    )];

    #[test]
    fn every_test_of_the_registry_has_a_row_by_which_it_fails() {
        for entry in TESTS {
            let row = ROWS.iter().flat_map(|(_, _, guests, _)| *guests).any(|(test, _)| *test == entry.test);
            let of_disk = |disk: &disks::Row| disk.found_by.iter().any(|(test, _)| *test == entry.test);
            let on_host = ON_THE_HOST.iter().any(|(test, ..)| *test == entry.test);
            // Exactly one of both: a test that a machine makes fail has no need of an exception.
            assert!((row || disks::ROWS.iter().any(of_disk)) != on_host, "{}", entry.name);
        }
    }

    #[test]
    fn every_failure_has_a_reason_that_tells_it_from_others() {
        let names: BTreeSet<&str> = ROWS.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names.len(), ROWS.len());
        for (test, words) in ROWS.iter().flat_map(|(_, _, guests, _)| *guests) {
            assert!(words.len() > 8, "{test:?}: {words:?}");
        }
    }

    #[test]
    fn host_tests_that_stand_for_a_machine_exist() {
        for (guest, file, test) in ON_THE_HOST {
            assert!(file.contains(&format!("#[test]\n    fn {test}()")), "{guest:?}");
        }
    }
}
