//! Wrong results of UV_ESM: any number in r3, an entry with another tree, or an entry without the announced state. The
//! guest names the fault and ends; it never goes on as an ordinary guest when secure mode was requested.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::Faults;

/// Exit status: bad device tree.
const BAD_TREE: u8 = 2;
/// Exit status: UV_ESM failed.
const NOT_SECURE: u8 = 4;

/// Every value of r3 in an ultravisor's sources, and some that are in none. Published ultravisors and Linux use different
/// numbers; the names here are of those that can reach a guest (open-power/ultravisor `include/uapi_uvcall.h`,
/// `include/hvcall.h`).
const RESULTS: [(i32, &str); 21] = [
    (0, "U_SUCCESS"),
    (1, "U_BUSY"),
    (3, "U_NOT_AVAILABLE"),
    (-2, "U_FUNCTION"),
    (-4, "U_PARAMETER"),
    (-5, "U_RETRY"),
    (-6, "U_HARDWARE"),
    (-7, "U_UNSUPPORTED"),
    (-11, "U_PERMISSION"),
    (-14, "U_WRONG_STATE"),
    (-55, "U_P2"),
    (-56, "U_P3"),
    (-57, "U_P4"),
    (-58, "U_P5"),
    (-59, "U_BAD_MODE"),
    (-75, "U_STATE"),
    (0xf110, "no status (r3 still 0xf110)"),
    (2, "unknown ultracall status 2"),
    (0xf130, "unknown ultracall status 61744"),
    (i32::MAX, "unknown ultracall status 2147483647"),
    (i32::MIN, "unknown ultracall status -2147483648"),
];

/// Name, stated address of the tree at entry, exit status, and the guest's message.
const TREES: [(&str, u64, u8, &str); 5] = [
    ("none", 0, BAD_TREE, "entered without a device tree"),
    // The kernel's vectors are there by then.
    ("vectors", 0x100, BAD_TREE, "magic is 0x48000008"),
    ("forgotten", 0x100_0000, BAD_TREE, "magic is 0x0"),
    ("image", 0x40_0000, BAD_TREE, "device tree at 0x400000, over the image or its stacks"),
    // QEMU 7.2 reads zeros where there is no memory; QEMU 10 raises a machine check, as hardware does.
    ("nowhere", NOWHERE, BAD_TREE, "magic is 0x0"),
];
/// Above all memory.
const NOWHERE: u64 = 1 << 44;
/// The guest's message for a machine check; the exit status is that of an exception.
const MACHINE_CHECK: &str = "postern: exception=0x200";
const EXCEPTION: u8 = 8;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = vec![Test::new("esm/answers", answers), Test::new("esm/unannounced", unannounced)];
    for (name, tree, status, said) in TREES {
        let name = format!("esm/tree/{name}");
        tests.push(Test::new(name, move |context| other_tree(context, tree, status, said)));
    }
    tests
}

fn fixture(context: &Context, faults: Faults) -> Result<Fixture, Failure> {
    let mut fixture = Fixture::new(
        context,
        GuestConfig { mebibytes: 256, ..GuestConfig::new(Firmware::Bios, true, true) },
    )?;
    if let Some(protection) = &mut fixture.protection {
        protection.faults = faults;
    }
    fixture.word("run=map");
    Ok(fixture)
}

/// The call returns to its caller.
fn answers(context: &Context) -> Result<(), Failure> {
    case!("ESM-10", Halt, M);
    for (number, name) in RESULTS {
        let faults = format!("esm:before={number}").parse().unwrap_or_default();
        let finished = fixture(context, faults)?.boot()?;
        let mut findings = judge::end(&finished, NOT_SECURE);
        if !finished.output.console.contains(&format!("UV_ESM failed: {name}\r\n")) {
            findings.push(Finding::NeverSaid(name));
        }
        if finished.ultravisor.as_ref().is_none_or(|report| report.secure || report.calls.len() != 1) {
            findings.push(Finding::Secure { expected: false });
        }
        if !findings.is_empty() {
            return verdict(finished, findings);
        }
    }
    Ok(())
}

/// The guest is entered again, and r3 is not the address of its tree.
fn other_tree(context: &Context, tree: u64, status: u8, said: &'static str) -> Result<(), Failure> {
    case!("ESM-11", Halt, M);
    let mut faults = Faults::none();
    faults.conditions.enter_with = Some(tree);
    let finished = fixture(context, faults)?.boot()?;
    let checked = tree == NOWHERE && finished.report.exit_status == Some(EXCEPTION);
    let (status, said) = if checked { (EXCEPTION, MACHINE_CHECK) } else { (status, said) };
    let mut findings = judge::end(&finished, status);
    if !finished.output.console.contains(said) {
        findings.push(Finding::NeverSaid(said));
    }
    if !finished.shared().ever.is_empty() {
        findings.push(Finding::Order("a tree, then memory is shared"));
    }
    verdict(finished, findings)
}

/// After UV_ESM the guest is entered as after a success, but MSR\[S\] is clear and no emulation was announced.
fn unannounced(context: &Context) -> Result<(), Failure> {
    const SAID: &str = "UV_ESM succeeded, but MSR[S]=0 and nothing announces an emulated ultravisor";
    case!("DT-11", Halt, M);
    let mut fixture = fixture(context, Faults::none())?;
    if let Some(protection) = &mut fixture.protection {
        protection.publish_node = false;
    }
    fixture.word("svm=on");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, NOT_SECURE);
    if !finished.output.console.contains(SAID) {
        findings.push(Finding::NeverSaid(SAID));
    }
    if !finished.shared().ever.is_empty() {
        findings.push(Finding::Order("a secure guest, then memory is shared"));
    }
    verdict(finished, findings)
}
