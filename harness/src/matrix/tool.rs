//! The command `postern-ultravisor` as users call it, with guests whose faults it has to find.

use crate::disk;
use crate::finding::Finding;
use crate::guest::tiny::{self, Last};
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::runner::Test;
use crate::qemu::process::Output;
use postern_ultravisor::workdir::Workdir;
use serde_json::Value;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Exit status of `postern-ultravisor run` that found something.
const FOUND: i32 = 3;
/// Machine options with which TCG prints no warnings.
const MACHINE: &str = "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off";

/// A disk and a card as users write them.
const DEVICES: [&str; 6] = [
    "-device",
    "virtio-blk-pci,drive=d,disable-legacy=on,iommu_platform=on",
    "-netdev",
    "user,id=n",
    "-device",
    "virtio-net-pci,netdev=n,romfile=,disable-legacy=on,iommu_platform=on",
];
const DISK_BYTES: u64 = 1 << 20;
/// Interval of the checks whether a socket exists.
const TICK: Duration = Duration::from_millis(10);
/// How long a server may take to create it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let hypercalls = [("little-endian", true), ("big-endian", false)].map(|(name, little)| {
        Test::new(format!("tool/hypercalls/{name}"), move |context| hypercalls(context, little))
    });
    let others = [
        Test::new("tool/live-hcalls", live),
        Test::new("tool/small-pages", small_pages),
        Test::new("tool/devices/named", named),
        Test::new("tool/devices/refusing", refusing),
        Test::new("tool/devices/private-buffers-are-refused", private_buffers),
        Test::new("tool/devices/lie", violation),
        Test::new("tool/adversary", adversary),
    ];
    hypercalls.into_iter().chain(others).collect()
}

/// The command, built once for all tests.
///
/// # Errors
/// It cannot be built.
pub fn command() -> Result<PathBuf, Finding> {
    program("postern-ultravisor")
}

fn program(name: &str) -> Result<PathBuf, Finding> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let build = || {
        let cargo = Command::new("scripts/cargo")
            .args(["-q", "build", "-p", "postern-ultravisor", "-p", "postern-adversary"])
            .output();
        let cargo = cargo.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&cargo.stderr).into_owned();
        if cargo.status.success() { Ok(()) } else { Err(said) }
    };
    let failed = |error: &str| Finding::File("scripts/cargo".into(), io::Error::other(error.to_owned()));
    BUILT.get_or_init(build).as_ref().map_err(|error| failed(error))?;
    let me = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
    Ok(me.with_file_name(name))
}

/// The command's output.
struct Said {
    status: Option<i32>,
    /// The summary, as JSON.
    summary: Value,
    output: Output,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Finding {
    let path = path.to_path_buf();
    move |error| Finding::File(path, error)
}

/// Runs the smallest guest under the command.
fn run(context: &Context, guest: &[u8], options: &[&str]) -> Result<Said, Failure> {
    let dir = Workdir::new().map_err(failed(&std::env::temp_dir()))?;
    let kernel = dir.path("kernel");
    std::fs::write(&kernel, guest).map_err(failed(&kernel))?;
    let rom = std::path::absolute(&context.rom).map_err(failed(&context.rom))?;
    let qemu = ["-M", MACHINE, "-append", "svm=on", "-bios"].map(OsString::from);
    start(context, &dir, options, qemu.into_iter().chain([rom.into(), "-kernel".into(), kernel.into()]))
}

/// Runs this project's image under the command, with servers in place of a disk and a card.
fn run_image(context: &Context, image: &Path, options: &[&str], words: &str) -> Result<Said, Failure> {
    run_with(context, image, options, words, &DEVICES.map(str::to_owned))
}

fn run_with(
    context: &Context,
    image: &Path,
    options: &[&str],
    words: &str,
    devices: &[String],
) -> Result<Said, Failure> {
    let dir = Workdir::new().map_err(failed(&std::env::temp_dir()))?;
    let disk = dir.path("disk");
    disk::make(&disk, DISK_BYTES, 7).map_err(failed(&disk))?;
    let image = std::path::absolute(image).map_err(failed(image))?;
    let machine = format!("{MACHINE},x-vof=on");
    let drive = format!("if=none,id=d,format=raw,file={}", disk.display());
    let words = format!("svm=emulated {words}");
    let devices = devices.iter().map(String::as_str);
    let qemu =
        ["-M", &machine, "-append", &words, "-drive", &drive].into_iter().chain(devices).map(OsString::from);
    let options = [&["--no-patch"], options].concat();
    start(context, &dir, &options, qemu.chain(["-kernel".into(), image.into()]))
}

fn start(
    context: &Context,
    dir: &Workdir,
    options: &[&str],
    qemu: impl Iterator<Item = OsString>,
) -> Result<Said, Failure> {
    let (initrd, json) = (dir.path("initrd"), dir.path("json"));
    std::fs::write(&initrd, [0x5a; 4096]).map_err(failed(&initrd))?;
    let started = Instant::now();
    let output = Command::new(command()?)
        .arg("run")
        .args(options)
        .arg("--json")
        .arg(&json)
        .arg("--")
        // Ends a guest that does not end by itself.
        .args(["timeout", "120"])
        .arg(&context.qemu)
        .args([
            "-cpu",
            "power9",
            "-m",
            "256M",
            "-nodefaults",
            "-nographic",
            "-vga",
            "none",
            "-serial",
            "stdio",
        ])
        .args(["-no-reboot", "-action", "panic=exit-failure"])
        .args(qemu)
        .arg("-initrd")
        .arg(&initrd)
        .stdin(Stdio::null())
        .output()
        .map_err(failed(Path::new("postern-ultravisor")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines = std::fs::read_to_string(&json).unwrap_or_default();
    let last = lines.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    Ok(Said {
        status: output.status.code(),
        summary: last.map(|mut last| last["summary"].take()).unwrap_or_default(),
        output: Output {
            console: text(&output.stdout),
            errors: text(&output.stderr),
            elapsed: started.elapsed(),
        },
    })
}

fn differs(key: &'static str, expected: &str, found: &str) -> Option<Finding> {
    let (expected, found) = (expected.to_owned(), Some(found.to_owned()));
    (Some(&expected) != found.as_ref()).then_some(Finding::Fact { key, expected, found })
}

fn verdict(said: Said, findings: Vec<Finding>) -> Result<(), Failure> {
    if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(said.output) }) }
}

/// Calls outside the table, and calls with private memory, are counted by number with the first of each; correct ones are
/// not.
fn hypercalls(context: &Context, little: bool) -> Result<(), Failure> {
    let private = 0x10_0000;
    let calls = [
        // H_PUT_TERM_CHAR of nothing.
        vec![0x58, 0, 0],
        // H_LOGICAL_CACHE_LOAD, which is not in the published ultravisor's table.
        vec![0x44, 1, 2],
        vec![0x44, 3, 4],
        // H_PUT_TCE_INDIRECT with a private list.
        vec![0x13c, 0x7fff_0000, 0, private, 1],
        // H_REG_CRQ with an I/O address, which the trace's check covers.
        vec![0xfc, 0x7100_0000, 0x1000, 0x1000],
    ];
    let guest = tiny::elf(little, &calls, Last::PowersOff);
    let check: &[&str] = if little { &["--check"] } else { &["--warn-only"] };
    let said = run(context, &guest, check)?;
    let (status, mark) = if little { (FOUND, "FOUND: ") } else { (0, "warning: ") };
    let mut findings = Vec::new();
    findings.extend(differs("status", &format!("{:?}", Some(status)), &format!("{:?}", said.status)));
    findings.extend(differs("secure", "true", &said.summary["secure"].to_string()));
    // Includes the power-off.
    findings.extend(differs("made", "6", &said.summary["hypercalls"]["made"].to_string()));
    let wrong = said.summary["hypercalls"]["wrong"].as_array().cloned().unwrap_or_default();
    let short =
        |one: &Value| format!("{} {} {} {}", one["number"], one["what"], one["count"], one["arguments"][0]);
    findings.extend(differs(
        "wrong",
        r#""0x44" "not-in-table" 2 "0x1", "0x13c" "private-memory" 1 "0x7fff0000""#,
        &wrong.iter().map(short).collect::<Vec<_>>().join(", "),
    ));
    let lines = said.output.errors.lines().filter(|line| line.contains(mark)).count();
    findings.extend(differs("lines", "2", &lines.to_string()));
    verdict(said, findings)
}

/// With live checks a guest that would never end is ended before its first wrong call, and the report names the caller by
/// the symbols of the kernel's file.
fn live(context: &Context) -> Result<(), Failure> {
    let guest = tiny::elf(true, &[vec![0x58, 0, 0], vec![0x44, 1, 2]], Last::Stays);
    let said = run(context, &guest, &["--live-hcalls"])?;
    let mut findings = Vec::new();
    findings.extend(differs("status", &format!("{:?}", Some(FOUND)), &format!("{:?}", said.status)));
    let call = said.summary["cut_short"].as_str().unwrap_or_default();
    if !call.starts_with("hcall 0x44(0x1, 0x2, ") {
        findings.extend(differs("cut_short", "hcall 0x44(0x1, 0x2, ...", call));
    }
    let by = said.summary["cut_short_by"].as_array().cloned().unwrap_or_default();
    let by: Vec<_> = by.iter().filter_map(Value::as_str).collect();
    let [site, callers @ ..] = &by[..] else { return verdict(said, vec![Finding::Unnoticed]) };
    findings.extend(differs("callers", &tiny::CALLERS.join(" < "), &callers.join(" < ")));
    findings.extend(differs("site", "calls", site.split('+').next().unwrap_or_default()));
    // The first call was made, the wrong one was not.
    findings.extend(differs("made", "1", &said.summary["hypercalls"]["made"].to_string()));
    verdict(said, findings)
}

/// The report names the device that accessed private memory, not only its bus: QEMU's own network card on the VIO bus, for
/// which the guest maps and registers a private page.
fn named(context: &Context) -> Result<(), Failure> {
    const UNIT: u32 = 0x7100_0002;
    let private = 0x20_0000;
    let calls = [
        // H_PUT_TCE: I/O address 0 is the private page, to read and to write.
        vec![0x20, UNIT, 0, private | 3],
        // H_REGISTER_LOGICAL_LAN: the buffer list is there, and one valid buffer of a page with it.
        vec![0x114, UNIT, 0, 0, 0, 0],
    ];
    let guest = tiny::elf(true, &calls, Last::PowersOff);
    let dir = Workdir::new().map_err(failed(&std::env::temp_dir()))?;
    let kernel = dir.path("kernel");
    std::fs::write(&kernel, guest).map_err(failed(&kernel))?;
    let rom = std::path::absolute(&context.rom).map_err(failed(&context.rom))?;
    let card = format!("spapr-vlan,id=card,netdev=n,reg={UNIT:#x}");
    let qemu = ["-M", MACHINE, "-append", "svm=on", "-netdev", "user,id=n", "-device", &card, "-bios"];
    let qemu = qemu.map(OsString::from).into_iter().chain([rom.into(), "-kernel".into(), kernel.into()]);
    let said = start(context, &dir, &["--check"], qemu)?;
    let mut findings = Vec::new();
    findings.extend(differs("status", &format!("{:?}", Some(FOUND)), &format!("{:?}", said.status)));
    findings.extend(says(&said, "guest address 0x200000, "));
    findings.extend(says(&said, "of bus 0x71000002, which is spapr-vlan \"card\""));
    verdict(said, findings)
}

/// A guest that passes numbers of 4 KiB pages to UV_SHARE_PAGE is told so, with the memory that it named and the memory that
/// it meant. One that shares the same memory by the number of its frame is not.
fn small_pages(context: &Context) -> Result<(), Failure> {
    const UV_SHARE_PAGE: u32 = 0xf130;
    let list = 0x20_1000;
    let mut last = None;
    for (number, meant) in [(list >> 12, false), (list >> 16, true)] {
        // H_PUT_TCE_INDIRECT with a list in that page.
        let calls = [vec![UV_SHARE_PAGE, number, 1], vec![0x13c, 0x7fff_0000, 0, list, 1]];
        let said = run(context, &tiny::elf(true, &calls, Last::PowersOff), &["--check"])?;
        let mut findings = Vec::new();
        let status = if meant { 0 } else { FOUND };
        findings.extend(differs("status", &format!("{:?}", Some(status)), &format!("{:?}", said.status)));
        findings.extend(differs(
            "shared",
            &format!("[[{number},{}]]", number + 1),
            &said.summary["shared_frames"].to_string(),
        ));
        let first = said.summary["findings"][0].as_str().unwrap_or_default();
        let expected = if meant {
            ""
        } else {
            "the guest counts pages of 4 KiB, but UV_SHARE_PAGE takes frames of 64 KiB: with 0x201, 0x1 it names the \
             memory at 0x2010000, which is zeroed and shared; 0x201000, which it gave to the host, stays private"
        };
        findings.extend(differs("finding", expected, first));
        if !findings.is_empty() {
            return verdict(said, findings);
        }
        last = Some(said);
    }
    last.map_or(Ok(()), |said| verdict(said, Vec::new()))
}

/// A stand-in's account, by its name.
fn account<'a>(said: &'a Said, device: &str) -> &'a Value {
    let accounts = said.summary["stand_ins"].as_array();
    accounts.into_iter().flatten().find(|one| one["device"] == device).unwrap_or(&Value::Null)
}

fn positive(key: &'static str, value: &Value) -> Option<Finding> {
    let none = value.as_u64().is_none_or(|value| value == 0);
    none.then(|| Finding::Fact { key, expected: "more than 0".to_owned(), found: Some(value.to_string()) })
}

fn says(said: &Said, text: &'static str) -> Option<Finding> {
    (!said.output.console.contains(text) && !said.output.errors.contains(text))
        .then_some(Finding::NeverSaid(text))
}

/// A correct guest works with servers that refuse private memory, on the network of QEMU's own card, and the command names
/// the devices that it replaced.
fn refusing(context: &Context) -> Result<(), Failure> {
    let said = run_image(context, &context.kernel, &["--devices", "refusing", "--check"], "run=demo")?;
    let mut findings = Vec::new();
    findings.extend(differs("status", "Some(0)", &format!("{:?}", said.status)));
    for device in ["blk0", "net0"] {
        findings.extend(positive("requests", &account(&said, device)["requests"]));
        findings.extend(differs("refused", "0", &account(&said, device)["refused"].to_string()));
    }
    findings.extend(says(&said, "became -chardev socket,id=postern-blk0,"));
    findings.extend(says(&said, "postern: net0.ip=10.0.2.15"));
    findings.extend(says(&said, "every device access was shared"));
    findings.extend(says(&said, "EXIT: STATUS=0"));
    verdict(said, findings)
}

/// A guest that gives its devices private buffers is reported; its disk transfers no data.
fn private_buffers(context: &Context) -> Result<(), Failure> {
    let options = ["--devices", "refusing", "--check"];
    // Behind an I/O memory management unit the guest's own pool would refuse these buffers.
    let devices = DEVICES.map(|word| word.replace(",iommu_platform=on", ""));
    let words = "run=blk-digest device-timeout=2";
    let said = run_with(context, &context.skip_bounce, &options, words, &devices)?;
    let mut findings = Vec::new();
    findings.extend(differs("status", &format!("{:?}", Some(FOUND)), &format!("{:?}", said.status)));
    findings.extend(positive("refused", &account(&said, "blk0")["refused"]));
    findings.extend(says(&said, "FOUND: blk0 was given memory that was not shared in "));
    verdict(said, findings)
}

/// A device violates the protocol, and the command reports the guest's reaction.
fn violation(context: &Context) -> Result<(), Failure> {
    let options = ["--devices", "refusing", "--lie", "rng-01"];
    let said = run_image(context, &context.kernel, &options, "run=blk-digest device-timeout=2")?;
    let mut findings = Vec::new();
    let disk = account(&said, "blk0");
    findings.extend(differs("lie", "\"rng-01\"", &disk["lie"].to_string()));
    findings.extend(differs("told", "1", &disk["told"].to_string()));
    findings.extend(positive("given up", &disk["given_up"]));
    findings.extend(says(&said, "rng-01 (used id beyond the queue): committed 1 times; then "));
    // This kernel's message, on its console: the command's summary has the same words for the violation.
    let message = "used id 0x";
    findings.extend((!said.output.console.contains(message)).then_some(Finding::NeverSaid(message)));
    verdict(said, findings)
}

/// The adversary as a command, for a QEMU that the user starts: its disk works, and violates the protocol if told to.
fn adversary(context: &Context) -> Result<(), Failure> {
    let dir = Workdir::new().map_err(failed(&std::env::temp_dir()))?;
    let (disk, socket) = (dir.path("disk"), dir.path("socket"));
    disk::make(&disk, DISK_BYTES, 7).map_err(failed(&disk))?;
    let mut findings = Vec::new();
    let mut last = Output { console: String::new(), errors: String::new(), elapsed: Duration::ZERO };
    for (lie, guest, server) in [
        (None, "EXIT: STATUS=0", " requests, "),
        (Some("blk-01"), "undefined status", "\nblk-01: committed 1 times; then "),
    ] {
        // Ends a server to which no QEMU connects.
        let mut served = Command::new("timeout");
        served.arg("150").arg(program("postern-adversary")?);
        served.arg("blk").arg("--socket").arg(&socket).arg("--image").arg(&disk);
        if let Some(lie) = lie {
            served.args(["--lie", lie]);
        }
        let served = served.stdout(Stdio::piped()).spawn().map_err(failed(Path::new("postern-adversary")))?;
        let begun = Instant::now();
        while !socket.exists() && begun.elapsed() < TIMEOUT {
            std::thread::sleep(TICK);
        }
        let started = Instant::now();
        let qemu = Command::new("timeout")
            .arg("120")
            .arg(&context.qemu)
            .args(["-M", &format!("{MACHINE},x-vof=on,memory-backend=m"), "-cpu", "power9", "-m", "256M"])
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=m,share=on,size=256M,mem-path={}",
                dir.path("memory").display()
            ))
            .args(["-nodefaults", "-nographic", "-vga", "none", "-serial", "stdio", "-no-reboot"])
            .args(["-append", "svm=off run=blk-digest", "-chardev"])
            .arg(format!("socket,id=c,path={}", socket.display()))
            .args(["-device", "vhost-user-blk-pci,chardev=c,num-queues=1", "-kernel"])
            .arg(&context.kernel)
            .stdin(Stdio::null())
            .output()
            .map_err(failed(&context.qemu))?;
        let account = served.wait_with_output().map_err(failed(Path::new("postern-adversary")))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        last = Output {
            console: text(&qemu.stdout) + &text(&account.stdout),
            errors: text(&qemu.stderr),
            elapsed: started.elapsed(),
        };
        let missing = [guest, server].into_iter().filter(|text| !last.console.contains(text));
        findings.extend(missing.map(Finding::NeverSaid));
        findings.extend(differs("server", "Some(0)", &format!("{:?}", account.status.code())));
        if !findings.is_empty() {
            break;
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(last) }) }
}
