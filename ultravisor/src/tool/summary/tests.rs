use super::*;
use crate::devices::Private;
use crate::machine::{Call, Resume, Verdict};
use crate::wiring::Wiring;
use std::time::{Duration, UNIX_EPOCH};

fn call(opcode: u64, arguments: [u64; 2], micros: u64, callers: &[&str]) -> CallRecord {
    let mut all = [0; 9];
    all[..2].copy_from_slice(&arguments);
    CallRecord {
        n: 1,
        call: Call { opcode, arguments: all, msr: 0, pidr: 0 },
        verdict: Verdict { code: call::Code::SUCCESS, resume: Resume::Untouched },
        faulted: false,
        at: UNIX_EPOCH + Duration::from_micros(micros),
        duration: Duration::ZERO,
        thread: "1".to_owned(),
        callers: callers.iter().map(|caller| (*caller).to_owned()).collect(),
    }
}

/// A secure guest that shared two frames, whose device made three good accesses.
fn summary() -> Summary {
    let calls = vec![
        call(0xf110, [0x40_0000, 0], 1_000_000, &["prom_init"]),
        call(0xf130, [0x20, 2], 1_500_000, &["share", "setup"]),
    ];
    let report = Report {
        end: End::QemuEnded,
        secure: true,
        calls,
        esm: Vec::new(),
        violations: Vec::new(),
        host: Vec::new(),
        disciplined: 0,
        attacked: Default::default(),
        shared: std::iter::once(0x20..0x22).collect(),
        ever_shared: std::iter::once(0x20..0x22).collect(),
        secure_bit: Default::default(),
        patched: Vec::new(),
        next_kernels: Vec::new(),
        left_shared: Vec::new(),
        kernel: 0,
        ordinary: false,
        cut_short: None,
        wiring: Default::default(),
    };
    let devices = Devices { shared: 3, ..Devices::default() };
    let hypercalls = Hypercalls { made: 7, ..Hypercalls::default() };
    Summary {
        report,
        devices: Some(devices),
        hypercalls: Some(hypercalls),
        accounts: Vec::new(),
        cut_short: None,
        append: String::new(),
        kernel: Kernel::Other,
        firmware: Firmware::Vof,
        bypassing: Vec::new(),
    }
}

const GOOD: &str = "every device access was shared";

#[test]
fn a_good_run_has_no_finding_and_says_so() {
    let said = summary().to_string();
    assert_eq!(summary().findings(), [""; 0]);
    for line in [
        GOOD,
        "UV_SHARE_PAGE: 1 calls, 2 frames, by share < setup",
        "shared at the end: 2 frames of 64 KiB: 0x200000 to 0x220000",
        "devices: 3 accesses, 3 of them to shared memory",
        "hypercalls: 7 since UV_ESM, all in the ultravisor's table, none with private memory",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
}

#[test]
fn a_private_access_is_found_with_place_and_time_and_nothing_is_called_good() {
    let mut bad = summary();
    let first = Private { at: 1_250_000, liobn: 0x8000_0000, ioba: 0x1000, address: 0x56_0000 };
    let private = [(0x56, 2)].into_iter().collect();
    let by_unit = [(0x8000_0000, 2)].into_iter().collect();
    bad.devices = Some(Devices { shared: 3, private, by_unit, first: Some(first), ..Devices::default() });
    assert_eq!(
        bad.findings(),
        [
            "2 of 5 device accesses were to memory that was not shared, the first 0.250 s after UV_ESM: guest address \
          0x560000, by I/O address 0x1000 of bus 0x80000000"
        ]
    );
    let said = bad.to_string();
    assert!(said.contains("private frame 0x560000: 2 accesses") && !said.contains(GOOD), "{said}");
    assert!(said.contains("private, by bus 0x80000000: 2 accesses\n"), "{said}");
    let device = "      dev: nvme, id \"x\"\n        addr = 01.0\n";
    let bridge = "  dev: spapr-pci-host-bridge, id \"\"\n    index = 0 (0x0)\n    bus: pci.0\n";
    bad.report.wiring = Wiring::parse(&[bridge, device].concat());
    let named = "bus 0x80000000, which is nvme \"x\" at 01.0 of pci.0";
    assert!(bad.findings()[0].ends_with(named), "{:?}", bad.findings());
    assert!(bad.to_string().contains("2 accesses, which is nvme"), "{bad}");
}

#[test]
fn a_run_without_evidence_is_not_called_good() {
    let unread =
        Summary { devices: Some(Devices { shared: 3, unread: 1, ..Devices::default() }), ..summary() };
    let bypassing = Summary { bypassing: vec!["virtio-net-pci".to_owned()], ..summary() };
    let nothing = Summary { devices: Some(Devices::default()), ..summary() };
    let no_log = Summary { devices: None, hypercalls: None, ..summary() };
    for summary in [&unread, &bypassing, &nothing, &no_log] {
        assert!(!summary.to_string().contains(GOOD), "{summary}");
    }
    assert_eq!(unread.findings(), ["1 lines of QEMU's trace cannot be read"]);
    assert!(no_log.to_string().contains("not looked at"));
}

#[test]
fn the_reason_is_named_for_a_guest_that_did_not_become_secure() {
    let mut never = summary();
    never.report.secure = false;
    assert_eq!(never.findings(), ["the guest never called UV_ESM"]);
    never.kernel = Kernel::Linux { version: "6.1".to_owned(), svm: false, page: None };
    assert!(never.findings()[0].contains("without CONFIG_PPC_SVM"));
    let mut failed = summary();
    failed.report.secure = false;
    failed.report.violations.push(crate::Violation::AlreadySecure);
    assert_eq!(failed.findings()[0], "UV_ESM by a VM that is secure");
}

#[test]
fn the_json_has_the_same_content() {
    let file = tempfile::NamedTempFile::new().expect("file");
    summary().write_json(file.path()).expect("written");
    let text = std::fs::read_to_string(file.path()).expect("text");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let summary = &value["summary"];
    assert_eq!(summary["device_accesses"]["shared"], 3);
    assert_eq!(summary["hypercalls"]["made"], 7);
    assert_eq!(summary["shared_frames"], json!([[0x20, 0x22]]));
    assert_eq!(summary["callers"][1]["by"], "share < setup");
    assert_eq!(summary["findings"], json!([]));
}
