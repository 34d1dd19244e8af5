//! Mistakes in a user's or host's input, and the guest's reaction.

use crate::disk::Disk;
use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::variable::{Firmware, Net};

/// Exit status: bad command line.
const BAD_COMMAND_LINE: u8 = 3;
/// Exit status: a device that was asked for is missing or refused.
const DEVICE: u8 = 6;

/// Words that the kernel has to refuse, and the text of its message.
const WORDS: [(&str, &str); 9] = [
    ("colour=red", "colour"),
    ("pool=12", "pool"),
    ("run=fly", "fly"),
    ("ip=10.0.2.300/24", "10.0.2.300/24"),
    ("ip=10.0.2.255/24", "ip=10.0.2.255/24: expected the address of one host"),
    ("device-timeout=4294967296", "device-timeout=4294967296: expected seconds, from 1 to 4294967295"),
    ("svm=maybe", "maybe"),
    ("run=soak", "run=soak: only the test image (postern-test) knows soak"),
    ("canary=7", "canary=7: only the test image (postern-test) knows canary"),
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = WORDS
        .into_iter()
        .map(|(word, names)| {
            let body = move |context: &Context| refused(context, word, names);
            Test::new(format!("input/{word}"), body)
        })
        .collect();
    tests.push(Test::new("input/words-without-use", without_use));
    tests.push(Test::new("input/pool-size", pool_size));
    tests.push(Test::new("input/no-scratch-disk", no_scratch));
    tests.push(Test::new("input/no-network-card", no_card));
    tests.push(Test::new("input/read-only-scratch", read_only));
    tests.push(Test::new("input/svm-off", svm_off));
    tests.push(Test::new("input/notify-in-io-space-first", io_notify));
    tests.push(Test::new("console/uart", uart));
    tests.push(Test::new("console/many-characters", many_characters));
    tests
}

fn refused(context: &Context, word: &str, names: &'static str) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, false, false))?;
    fixture.word(word);
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, BAD_COMMAND_LINE);
    if !finished.output.console.contains(names) {
        findings.push(Finding::NeverSaid(names));
    }
    verdict(finished, findings)
}

/// Valid words that have no effect in this run are named, and change nothing.
fn without_use(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, false))?;
    fixture.data_disk(1 << 20)?;
    fixture.word("run=map run=blk-digest serve=5 seed=7 pool=2M ip=10.0.2.15/24");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    const NAMED: [&str; 5] = [
        "command line: run=map: not used: a later one counts",
        "command line: serve=5: not used: no step of run= uses it",
        "command line: seed=7: not used: no step of run= uses it",
        "command line: pool=2M: not used: an ordinary guest has no pool",
        "command line: ip=10.0.2.15/24: not used: no step of run= uses it",
    ];
    let missing = NAMED.into_iter().filter(|line| !finished.output.console.contains(line));
    findings.extend(missing.map(Finding::NeverSaid));
    verdict(finished, findings)
}

fn pool_size(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    fixture.data_disk(1 << 20)?;
    fixture.word("pool=2M run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::exposure(&finished, true));
    let found = finished.report.number("pool.bytes");
    if found != Some(2 << 20) {
        findings.push(Finding::PoolSize { expected: 2 << 20, found });
    }
    verdict(finished, findings)
}

/// `blk-pattern` never overwrites a disk that is not named for it.
fn no_scratch(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, false, false))?;
    let path = fixture.scratch_disk(1 << 20)?;
    for disk in &mut fixture.machine.disks {
        disk.serial = "data".to_owned();
    }
    let before = digest(&path)?;
    fixture.word("run=blk-pattern");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, DEVICE);
    if digest(&path)? != before {
        findings.push(Finding::ImageChanged);
    }
    verdict(finished, findings)
}

fn no_card(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, false, false))?;
    fixture.word("run=net-serve serve=1");
    let finished = fixture.boot()?;
    let findings = judge::end(&finished, DEVICE);
    verdict(finished, findings)
}

fn read_only(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    let path = fixture.scratch_disk(1 << 20)?;
    for disk in &mut fixture.machine.disks {
        *disk = Disk { read_only: true, ..disk.clone() };
    }
    let before = digest(&path)?;
    fixture.word("run=blk-pattern");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, DEVICE);
    findings.extend(judge::fact(&finished, "blk0.read_only", "yes"));
    if digest(&path)? != before {
        findings.push(Finding::ImageChanged);
    }
    verdict(finished, findings)
}

/// `svm=off` overrides the node in the tree: no ultracall is made.
fn svm_off(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Slof, true, true))?;
    fixture.data_disk(1 << 20)?;
    fixture.word("svm=off run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "mode", "normal"));
    findings.extend(judge::ultracalls(&finished, &[]));
    verdict(finished, findings)
}

/// A device that offers notifications in I/O space first, and then in memory space, which this driver uses.
fn io_notify(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, true, true))?;
    let image = fixture.data_disk(1 << 20)?;
    let option = "virtio-blk-pci.modern-pio-notify=on";
    fixture.machine.extra.extend(["-global", option].map(str::to_owned));
    fixture.word("run=blk-digest");
    let expected = digest(&image)?;
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "blk0.sha256", &expected));
    verdict(finished, findings)
}

/// The second console shows the same text as the first.
fn uart(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    let path = fixture.dir.path("uart");
    fixture.machine.uart = Some(path.clone());
    fixture.data_disk(1 << 20)?;
    fixture.word("console=uart run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let said = |what: &str| text.lines().any(|line| line.trim_end() == what);
            if !said("postern: mode=secure-emulated") || !said("EXIT: STATUS=0") {
                findings.push(Finding::NeverSaid("mode and EXIT on the 16550"));
            }
        }
        Err(error) => findings.push(Finding::File(path, error)),
    }
    verdict(finished, findings)
}

/// Letters typed at once, and how many of them must be read by the same poll as the letter before. Polls are at least 5 ms
/// apart; the terminal holds 16 letters.
const LETTERS: usize = 300;
const TOGETHER: usize = LETTERS / 2;
const POLL_TICKS: u64 = 512_000_000 / 1000 * 5;

fn many_characters(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(&context.on_test_image(), GuestConfig::new(Firmware::Vof, false, false))?;
    fixture.machine.net = Net::User;
    fixture.word("run=net-bench serve=100 ip=10.0.2.15/24");
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    }
    let mut typed = vec![b'm'; LETTERS];
    typed.push(b'q');
    drop(session.qemu.type_in(&typed));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    let at = |n: usize| finished.report.number(&format!("net0.mark.{n}.ticks"));
    let pairs = (1..LETTERS).filter_map(|n| Some((at(n - 1)?, at(n)?)));
    let together = pairs.filter(|(before, after)| after.saturating_sub(*before) < POLL_TICKS).count();
    if together < TOGETHER {
        let (expected, found) = (format!("at least {TOGETHER}"), Some(together.to_string()));
        findings.push(Finding::Fact { key: "letters read in one poll", expected, found });
    }
    verdict(finished, findings)
}
