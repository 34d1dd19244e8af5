//! Unmodified Linux as a secure VM under `postern-ultravisor`, if its kernel is there: `make linux` builds it.

use crate::finding::Finding;
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::runner::Test;
use crate::qemu::process::Output;
use crate::session::longest;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Folder of the kernel that `make linux` builds. With `CONFIG=` the option is appended.
const FOLDER: &str = "build/linux";
const SCRIPT: &str = "scripts/linux.sh";
/// The program in that Linux which starts another kernel, and the kernel that it starts.
const KEXEC: &str = "build/linux/kexec";
const IMAGE: &str = "build/postern.elf";
/// Debian's own kernel, which `make bench` measures.
const DEBIAN: &str = "build/bench/linux/vmlinux";
/// Time limit of a boot, which takes 10 to 50 seconds: a Linux whose disk never answers waits for ever.
const LIMIT: Duration = Duration::from_secs(600);
/// Seconds from SIGTERM to SIGKILL.
const GRACE: u64 = 30;
/// Exit status of `postern-ultravisor run --check` that found something.
const FOUND: i32 = 3;

/// A boot of Linux: the script's environment, and the expected end.
#[derive(Clone, Copy)]
struct Boot {
    environment: &'static [(&'static str, &'static str)],
    status: i32,
    said: &'static [&'static str],
}

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        // The script compares Linux's output about disks, a file system, UDP and TCP with the host's data.
        test(
            "job",
            Boot {
                environment: &[("APPEND", "svm=on swiotlb=force")],
                status: 0,
                said: &[
                    "linux: svm=1",
                    "every device access was shared",
                    "all in the ultravisor's table, none with private memory",
                    "1024 frames, by set_memory_decrypted+",
                ],
            },
        ),
        // Another interrupt controller, and firmware without a measured RTAS text.
        test(
            "vof-xics",
            Boot {
                environment: &[("APPEND", "svm=on swiotlb=force"), ("MACHINE", "x-vof=on,ic-mode=xics")],
                status: 0,
                said: &[
                    "linux: svm=1",
                    "every device access was shared",
                    "not met, cannot be under this firmware: /rtas/slof,rtas-size",
                ],
            },
        ),
        // mem_init() decides about swiotlb before init_svm() requests it: if all memory is below 4 GiB there is none.
        test(
            "no-swiotlb",
            Boot {
                environment: &[("APPEND", "svm=on"), ("MACHINE", "x-vof=on")],
                status: FOUND,
                said: &["linux: svm=1", "device accesses were to memory that was not shared, the first "],
            },
        ),
        test(
            "not-asked",
            Boot {
                environment: &[("APPEND", "svm=off"), ("MACHINE", "x-vof=on")],
                status: FOUND,
                said: &["linux: svm=0", "the guest never called UV_ESM", "svm=on in its command line"],
            },
        ),
        test(
            "not-told",
            Boot {
                environment: &[
                    ("APPEND", "svm=on swiotlb=force"),
                    ("MACHINE", "x-vof=on"),
                    ("TOOL", "--no-patch"),
                ],
                status: FOUND,
                said: &["linux: svm=0", "does not know that it is secure"],
            },
        ),
        // Servers replace QEMU's three disks and the card. They get I/O addresses, which QEMU translates for them, and refuse
        // what they lead to if it is not shared.
        test(
            "refusing",
            Boot {
                environment: &[
                    ("APPEND", "svm=on swiotlb=force"),
                    ("MACHINE", "x-vof=on"),
                    ("TOOL", "--devices refusing"),
                ],
                status: 0,
                said: &[
                    "linux: svm=1",
                    "blk0 in QEMU's command line: ",
                    "net0 in QEMU's command line: ",
                    "linux: ping=3",
                    "linux: done=1",
                    "every device access was shared",
                ],
            },
        ),
        // As refusing; each disk answers once with a status that does not exist.
        test(
            "lie",
            Boot {
                environment: &[
                    ("APPEND", "svm=on swiotlb=force"),
                    ("MACHINE", "x-vof=on"),
                    ("TOOL", "--devices refusing --lie blk-01"),
                ],
                status: 0,
                said: &[
                    "I/O error, dev vda",
                    "linux: ping=3",
                    "linux: done=1",
                    "blk-01 (unknown status): committed 1 times; then ",
                    "every device access was shared",
                ],
            },
        ),
        // Linux leaves for this project's image, which finds MSR[S] set and shares its own pool.
        test(
            "kexec",
            Boot {
                environment: &[("APPEND", "svm=on swiotlb=force"), ("MACHINE", "x-vof=on"), ("KEXEC", IMAGE)],
                status: 0,
                said: &[
                    "linux: svm=1",
                    "kexec: Unshared all shared pages.",
                    "kexec: another kernel at 0x10000000",
                    "postern: mode=secure-hardware",
                    "postern: cpu.online=2",
                    "postern: work.done=4",
                    "EXIT: STATUS=0",
                    "UV_ESM: 1 calls",
                    "every device access was shared",
                    "all in the ultravisor's table, none with private memory",
                ],
            },
        ),
        // Its numbers are of 4 KiB pages, so none of what it means to share is shared. QEMU's devices work all the same.
        test_of(
            "PPC_4K_PAGES=y",
            "small-pages",
            Boot {
                environment: &[("APPEND", "svm=on swiotlb=force"), ("MACHINE", "x-vof=on")],
                status: FOUND,
                said: &[
                    "linux: svm=1",
                    "was built with CONFIG_PPC_4K_PAGES and counts pages of 4 KiB",
                    " accesses, 0 of them to shared memory",
                    "FOUND: UV_SHARE_PAGE of 0x4000 frames from ",
                    "FOUND: H_REGISTER_VPA hands over private memory",
                ],
            },
        ),
        // The script compares the disk that Linux wrote with the one that it read.
        test_of(
            "CPU_BIG_ENDIAN=y",
            "big-endian",
            Boot {
                environment: &[("APPEND", "svm=on swiotlb=force"), ("MACHINE", "x-vof=on")],
                status: 0,
                said: &[
                    "linux: order=big-endian",
                    "linux: svm=1",
                    "linux: copied=1048576",
                    // Code's names begin with a dot where functions have descriptors (ELF ABI v1).
                    "1024 frames, by .set_memory_decrypted+",
                    "every device access was shared",
                    "all in the ultravisor's table, none with private memory",
                ],
            },
        ),
        test(
            "debian",
            Boot {
                environment: &[("APPEND", "svm=on"), ("MACHINE", "x-vof=on"), ("KERNEL", DEBIAN)],
                status: FOUND,
                said: &["linux: svm=0", "the guest never called UV_ESM", "built without CONFIG_PPC_SVM"],
            },
        ),
    ]
}

/// A test that is skipped without the kernels that it needs.
fn test(name: &str, boot: Boot) -> Test {
    test_of("", name, boot)
}

/// A test of the kernel that `make linux CONFIG=` builds with this option.
fn test_of(config: &'static str, name: &str, boot: Boot) -> Test {
    Test::new(format!("linux/{name}"), move |context: &Context| {
        let (folder, make) = match config {
            "" => (FOLDER.to_owned(), "make linux".to_owned()),
            option => (format!("{FOLDER}-{option}"), format!("make linux CONFIG={option}")),
        };
        if !Path::new(&folder).join("vmlinux").exists() {
            let why = format!("no {folder}/vmlinux; `{make}` builds it, in about ten minutes");
            return Err(Finding::Skipped(why).into());
        }
        if boot.environment.contains(&("KERNEL", DEBIAN)) && !Path::new(DEBIAN).exists() {
            let why = format!("no {DEBIAN}; `scripts/linux-guest.sh build/bench/linux` fetches it");
            return Err(Finding::Skipped(why).into());
        }
        if boot.environment.contains(&("KEXEC", IMAGE)) && !Path::new(KEXEC).exists() {
            return Err(Finding::Skipped(format!("no {KEXEC}; `make linux` builds it")).into());
        }
        let started = Instant::now();
        // `timeout` ends the script with all that it started, with status 124.
        let run = Command::new("timeout")
            .arg(format!("--kill-after={GRACE}"))
            .arg(LIMIT.min(longest()).as_secs().to_string())
            .arg(SCRIPT)
            .arg(&folder)
            .envs(boot.environment.to_vec())
            .env("QEMU", &context.qemu)
            .output();
        let run = run.map_err(|error| Finding::File(SCRIPT.into(), error))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let output =
            Output { console: text(&run.stdout), errors: text(&run.stderr), elapsed: started.elapsed() };
        let mut findings = Vec::new();
        if run.status.code() != Some(boot.status) {
            let found = run.status.code().map(|code| code.to_string());
            findings.push(Finding::Fact { key: "status", expected: boot.status.to_string(), found });
        }
        let unsaid = boot.said.iter().filter(|words| !output.console.contains(**words));
        findings.extend(unsaid.map(|words| Finding::Fact {
            key: "said",
            expected: (*words).to_owned(),
            found: None,
        }));
        if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(output) }) }
    })
}
