//! A hypervisor that gives wrong answers to the hypercalls with which a secure guest accesses config space, device
//! registers and TCEs. Each wrong answer is a row of the case list.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::variable::{Firmware, Net};
use postern_cases::{Observation, case};
use postern_ultravisor::host::Subject::{ConfigRead, Hcall, Load, Rtas, Store};
use postern_ultravisor::host::Value::{Is, With, Without};
use postern_ultravisor::host::What::{Answer, Argument, R3, Result as Changed};
use postern_ultravisor::host::{H_GET_TCE, H_PUT_TCE, H_RTAS, H_STUFF_TCE, H_XIRR, Rule, Subject};
use std::fs::File;

const DATA_BYTES: u64 = (4 << 20) + 512;
const SCRATCH_BYTES: u64 = 256 << 10;
/// Exit status: a device is missing, refused or broken.
const DEVICE: u8 = 6;
/// Exit status: devices may reach more than the pool.
const EXPOSED: u8 = 11;
/// Notifications 2 to 8 do not reach the device: the guest waits for it and reads its registers meanwhile.
const UNHEARD: Rule = Rule {
    of: Store { device: 0, register: 0x3000, bytes: 2 },
    from: 2,
    to: 8,
    what: Answer { status: 0, value: 0 },
};

/// The result of a wrong answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The first disk is given up, and the log has these words; the other devices work.
    Disk(&'static [&'static str]),
    /// Every device is refused.
    All(&'static [&'static str]),
    /// Everything works, and the log has these words.
    Works(&'static [&'static str]),
    /// The final check of the windows ends the run, whatever worked before, and the log has these words.
    Exposed(&'static [&'static str]),
}

/// One wrong answer.
#[derive(Clone, Copy, Debug)]
struct Case {
    row: Observation,
    /// Part of the name that distinguishes cases of one row.
    suffix: &'static str,
    waits: bool,
    /// MiB of the DMA window, a quarter of which is the pool's; each wrong TCE costs a millisecond.
    window: Option<u64>,
    /// The bridge makes windows, of which the pool gets one of 64 KiB pages.
    dynamic: bool,
    rules: &'static [Rule],
    outcome: Outcome,
}

const fn case(row: Observation, rules: &'static [Rule], outcome: Outcome) -> Case {
    Case { row, suffix: "", waits: false, window: None, dynamic: true, rules, outcome }
}

impl Case {
    const fn named(self, suffix: &'static str) -> Self {
        Self { suffix, ..self }
    }

    /// For a bridge whose default window stays.
    const fn of_tces(self) -> Self {
        Self { window: Some(4), dynamic: false, ..self }
    }

    /// For a window that was made for a pool of 16 frames.
    const fn of_frames(self) -> Self {
        Self { window: Some(4), ..self }
    }

    /// While the guest waits for its disk.
    const fn waiting(self) -> Self {
        Self { waits: true, ..self }
    }
}

/// A register of the first disk.
const fn disk(register: u64, bytes: u64) -> Subject {
    Load { device: 0, register, bytes }
}

const STATUS: Subject = disk(0x14, 1);
const GENERATION: Subject = disk(0x15, 1);
const QUEUE_SIZE: Subject = disk(0x18, 2);
const CAPACITY: Subject = disk(0x2000, 4);
/// Number of the status reads before the device is in use: after its reset, its features and its start.
const IN_USE: u64 = 3;
/// The message of a driver whose device did not confirm its reset.
const QUARANTINE: &str = "stays in quarantine";
/// Start of the card's address when the guest made it up (its first byte is 2, see `net::link::MacAddr::local`).
const LOCAL_MAC: &str = "postern: net0.mac=02:";
/// Any register of the first disk in config space.
const CONFIG: Subject = ConfigRead { slot: 0, register: None };
const ONES: u64 = 0xffff_ffff;
/// A TCE that maps a private page: of the image.
const PRIVATE: u64 = 0x40_0003;
/// Calls of H_GET_TCE before the final check of a window of 32 entries that maps 16: two when the default window is removed
/// and one when it is replaced, one for each entry before mapping and for each mapped one after it, and one more for the
/// removed window.
const LAST_READ: u64 = 2 + 1 + 32 + 16 + 1;

const CASES: [Case; 33] = [
    case(
        case!("CAP-14", Refuse, Q),
        &[Rule::from(CONFIG, 8, Answer { status: 0, value: ONES })],
        Outcome::Disk(&["reserved type"]),
    ),
    case(
        case!("CAP-14", Refuse, Q),
        &[Rule::from(CONFIG, 16, Answer { status: 0, value: ONES })],
        Outcome::Disk(&["ones"]),
    )
    .named("-later"),
    case(
        case!("BAR-01", Refuse, Q),
        &[Rule::always(ConfigRead { slot: 0, register: Some(0x20) }, Changed(Is(0)))],
        Outcome::Disk(&["BAR"]),
    ),
    case(
        case!("BAR-06", Refuse, Q),
        &[Rule::from(ConfigRead { slot: 0, register: Some(0x20) }, 2, Changed(With(0x10_0000)))],
        Outcome::Disk(&["BAR"]),
    ),
    case(
        case!("NEG-01", Refuse, Q),
        &[Rule::always(STATUS, Changed(With(0x04)))],
        Outcome::Disk(&["no reset, status stays 0x4"]),
    ),
    case(
        case!("NEG-02", Refuse, Q),
        &[Rule::nth(disk(4, 4), 2, Changed(Without(1)))],
        Outcome::Disk(&["VERSION_1 not offered"]),
    ),
    case(
        case!("NEG-03b", Refuse, Q),
        &[Rule::nth(Store { device: 0, register: 12, bytes: 4 }, 2, Argument(2, Without(2)))],
        Outcome::Disk(&["refused features"]),
    ),
    case(
        case!("NEG-04", Refuse, Q),
        &[Rule::nth(STATUS, 2, Changed(Without(8)))],
        Outcome::Disk(&["refused features"]),
    ),
    case(
        case!("NEG-08", Refuse, Q),
        &[Rule::nth(QUEUE_SIZE, 1, Changed(Is(3)))],
        Outcome::Disk(&["queue 0: size 3"]),
    ),
    case(
        case!("NEG-08", Refuse, Q),
        &[Rule::nth(QUEUE_SIZE, 1, Changed(Is(0)))],
        Outcome::Disk(&["no queue 0"]),
    )
    .named("-none"),
    case(
        case!("NEG-10", Refuse, Q),
        &[Rule::always(disk(0x1c, 2), Changed(Is(1)))],
        Outcome::Disk(&["in use before set-up"]),
    ),
    case(
        case!("NEG-11", Break, Q),
        &[Rule::nth(STATUS, IN_USE + 2, Changed(With(0x40)))],
        Outcome::Disk(&["broken: ", "needs a reset"]),
    )
    .waiting(),
    case(
        case!("NEG-12", Retry, Q),
        &[
            Rule::nth(GENERATION, 1, Changed(Is(1))),
            Rule::nth(GENERATION, 2, Changed(Is(2))),
            Rule::nth(GENERATION, 3, Changed(Is(3))),
        ],
        Outcome::Works(&[]),
    )
    .named("-thrice"),
    case(
        case!("NEG-15", Break, Q),
        &[Rule::from(STATUS, IN_USE, Changed(Is(0xff)))],
        Outcome::Disk(&["device gone", QUARANTINE]),
    ),
    case(
        case!("NEG-15", Break, Q),
        &[Rule::from(STATUS, IN_USE + 2, Changed(Is(0xff)))],
        Outcome::Disk(&["broken: device gone", QUARANTINE]),
    )
    .named("-at-work")
    .waiting(),
    case(
        case!("RNG-20", Quarantine, Q),
        &[Rule::from(STATUS, IN_USE + 2, Changed(Is(0x4f)))],
        Outcome::Disk(&["broken: ", "needs a reset", QUARANTINE]),
    )
    .named("-no-reset")
    .waiting(),
    case(
        case!("BLK-06", Fail, Q),
        &[Rule::from(GENERATION, 6, Changed(Is(9))), Rule::from(CAPACITY, 3, Changed(Is(64)))],
        Outcome::Disk(&["capacity"]),
    )
    .named("-shrinks")
    .waiting(),
    case(
        case!("BLK-06", Work, Q),
        &[Rule::from(GENERATION, 6, Changed(Is(9))), Rule::from(CAPACITY, 3, Changed(Is(0xffff)))],
        Outcome::Works(&[]),
    )
    .named("-grows")
    .waiting(),
    case(
        case!("NET-08", Fallback, Q),
        &[Rule::always(Load { device: 2, register: 0x2000, bytes: 1 }, Changed(Is(0xff)))],
        Outcome::Works(&[LOCAL_MAC]),
    ),
    case(
        case!("MSX-02", Fallback, Q),
        &[Rule::always(disk(0x1a, 2), Changed(Is(0xffff)))],
        Outcome::Works(&["interrupts: lsi"]),
    ),
    case(
        case!("IRQ-01", Ignore, Q),
        &[Rule { of: Hcall(H_XIRR), from: 1, to: 3, what: Answer { status: 0, value: 0xff00_1999 } }],
        Outcome::Works(&["source 0x1999 is nobody's: masked"]),
    )
    .waiting(),
    case(
        case!("HC-01", Fail, Q),
        &[Rule::from(STATUS, IN_USE + 2, Answer { status: 0x7fff_ffff, value: 0 })],
        Outcome::Disk(&["unknown hcall status 2147483647", QUARANTINE]),
    )
    .waiting(),
    case(
        case!("HC-02", Retry, Q),
        &[Rule { of: Hcall(H_PUT_TCE), from: 100, to: 140, what: Answer { status: 1, value: 0 } }],
        Outcome::Works(&[]),
    )
    .of_tces(),
    case(
        case!("HC-10", Refuse, Q),
        &[Rule::from(Hcall(H_GET_TCE), 1, Changed(With(0x1_0000)))],
        Outcome::All(&["refused"]),
    )
    .of_tces(),
    case(case!("HC-11", Ignore, M), &[Rule::always(Hcall(H_RTAS), R3(0xf000))], Outcome::Works(&[])),
    case(
        case!("TCE-01", Refuse, Q),
        &[Rule::from(Hcall(H_PUT_TCE), 200, Answer { status: -16, value: 0 })],
        Outcome::All(&["H_RESOURCE"]),
    )
    .of_tces(),
    // A private page in place of one of the pool's; the entry is then not removed.
    case(
        case!("TCE-08", Refuse, Q),
        &[
            Rule::nth(Hcall(H_PUT_TCE), 5, Argument(2, Is(PRIVATE))),
            Rule::from(Hcall(H_STUFF_TCE), 3, Answer { status: 0, value: 0 }),
        ],
        Outcome::Exposed(&["and the mapping could not be undone", "1 pages reachable besides them"]),
    )
    .of_tces(),
    case(
        case!("TCE-08", Refuse, Q),
        &[
            Rule::always(Hcall(H_STUFF_TCE), Answer { status: 0, value: 0 }),
            Rule::nth(Hcall(H_GET_TCE), 700, Changed(Is(PRIVATE))),
        ],
        Outcome::All(&["after H_STUFF_TCE cleared it"]),
    )
    .named("-stale")
    .of_tces(),
    case(
        case!("TCE-09", Fallback, Q),
        &[Rule::always(Rtas("ibm,remove-pe-dma-window"), Answer { status: 0, value: 0 })],
        Outcome::Works(&["can be read after it was removed"]),
    )
    .of_frames(),
    // The replaced window can be read at the end, in the last check.
    case(
        case!("TCE-09", Halt, Q),
        &[Rule::nth(Hcall(H_GET_TCE), LAST_READ, Answer { status: 0, value: 0 })],
        Outcome::Exposed(&["was removed and can be read"]),
    )
    .named("-comes-back")
    .of_frames(),
    // The pool's 16 frames in a window of 32 entries: all entries are read before mapping, the mapped ones after it.
    case(
        case!("TCE-10", Halt, Q),
        &[Rule::nth(Hcall(H_GET_TCE), LAST_READ + 30, Changed(Is(PRIVATE)))],
        Outcome::Exposed(&["1 pages reachable besides them"]),
    )
    .of_frames(),
    case(
        case!("TCE-10", Halt, Q),
        &[Rule::nth(Hcall(H_GET_TCE), LAST_READ + 30, Answer { status: -1, value: 0 })],
        Outcome::Exposed(&["exposure cannot be told"]),
    )
    .named("-untold")
    .of_frames(),
    case(
        case!("TCE-04", Refuse, Q),
        &[Rule::nth(Store { device: 0, register: 0x20, bytes: 4 }, 1, Argument(2, Is(0x300_0000)))],
        Outcome::Disk(&["broken: "]),
    ),
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |case: &'static Case| {
        let name = format!("host/{}{}", case.row.case.id, case.suffix);
        Test::new(name, move |context| run(context, case))
    };
    CASES.iter().map(test).collect()
}

fn run(context: &Context, case: &Case) -> Result<(), Failure> {
    let config =
        GuestConfig { dynamic_windows: case.dynamic, ..GuestConfig::new(Firmware::Bios, true, true) };
    let mut fixture = Fixture::new(context, config)?;
    let seed = seed();
    let data = fixture.data_disk(DATA_BYTES)?;
    let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
    fixture.machine.net = Net::User;
    fixture.word(&format!("run=blk-digest,blk-pattern,net-serve serve=20 seed={seed} device-timeout=2"));
    fixture.word("ip=10.0.2.15/24");
    if let Some(mebibytes) = case.window {
        fixture.machine.dma_window = Some(mebibytes << 20);
        fixture.word(&format!("pool={}K", mebibytes << 8));
    }
    // With ioeventfd QEMU would process queues by itself at each stopped hypercall.
    fixture.machine.extra = ["-global", "virtio-blk-pci.ioeventfd=off"].map(str::to_owned).to_vec();
    if let Some(protection) = &mut fixture.protection {
        protection.host = case.rules.to_vec();
        protection.host.extend(case.waits.then_some(UNHEARD));
    }
    let mut session = fixture.start()?;
    // A guest without a card ends by itself.
    session.qemu.console().wait_for(LIMIT, |line| line == SERVING);
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    let (status, words) = match case.outcome {
        Outcome::Disk(words) | Outcome::All(words) => (DEVICE, words),
        Outcome::Works(words) => (0, words),
        Outcome::Exposed(words) => (EXPOSED, words),
    };
    let mut findings = judge::end(&finished, status);
    let unsaid = words.iter().filter(|word| !finished.output.console.contains(**word));
    findings.extend(unsaid.map(|word| Finding::NeverSaid(word)));
    let interfered =
        |rule| finished.ultravisor.iter().flat_map(|uv| &uv.host).any(|s| s.rule == rule && s.interfered);
    if !(0..case.rules.len() + usize::from(case.waits)).all(interfered) {
        findings.push(Finding::NoViolation);
    }
    if let Outcome::Exposed(_) = case.outcome {
        // The wrong answer is about the exposure, so it is not checked.
        return verdict(finished, findings);
    }
    if !matches!(case.outcome, Outcome::Disk(_) | Outcome::All(_)) {
        findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
    }
    if !matches!(case.outcome, Outcome::All(_)) {
        match File::open(&scratch) {
            Ok(file) => findings.extend(crate::pattern::verify(seed, file).err().map(Finding::Pattern)),
            Err(error) => findings.push(Finding::File(scratch, error)),
        }
    }
    if matches!(case.outcome, Outcome::Disk(_) | Outcome::Works(_)) {
        findings.extend(judge::fact(&finished, "net0.serve", "done"));
    }
    // The wrong answer exposed nothing, and memory is in quarantine exactly if no reset was confirmed.
    findings.extend(judge::exposure(&finished, true));
    let expected = words.contains(&QUARANTINE);
    if judge::quarantined(&finished) != Some(expected) {
        findings.push(Finding::Quarantine { expected });
    }
    verdict(finished, findings)
}
