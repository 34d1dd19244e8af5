use super::*;
use crate::devices::Private;
use crate::machine::{Call, Resume, Verdict};
use crate::requests::Hcall;
use crate::tool::hypercalls::Wrong;
use std::time::{Duration, UNIX_EPOCH};

const H_PUT_TCE_INDIRECT: u64 = 0x13c;

fn share(first: u64, count: u64, code: Code) -> CallRecord {
    let arguments = [first, count, 0, 0, 0, 0, 0, 0, 0];
    CallRecord {
        n: 1,
        call: Call { opcode: Number::SharePage as u64, arguments, msr: 0, pidr: 0 },
        verdict: Verdict { code, resume: Resume::Untouched },
        faulted: false,
        at: UNIX_EPOCH,
        duration: Duration::ZERO,
        thread: "1".to_owned(),
        callers: Vec::new(),
    }
}

/// A call that gives the host a private list.
fn list(address: u64) -> Hypercalls {
    let call = Hcall { number: H_PUT_TCE_INDIRECT, arguments: [1, 0, address, 1], nip: 0, excess: false };
    let breach = Breach::PrivateAddress("H_PUT_TCE_INDIRECT", call);
    let wrong = vec![Wrong { breach, call, count: 1, by: String::new() }];
    Hypercalls { made: 1, wrong, unread: 0 }
}

/// A device that accessed private memory, after so many accesses to shared memory.
fn device(address: u64, shared: u64) -> Devices {
    let first = Some(Private { at: 0, liobn: 1, ioba: 0, address });
    Devices {
        shared,
        first,
        private: [(address >> FRAME_SHIFT, 1)].into_iter().collect(),
        ..Devices::default()
    }
}

#[test]
fn what_was_named_by_the_number_of_its_page_is_recognized() {
    let calls = [share(0x100, 1, Code::SUCCESS), share(0x200, 2, Code::SUCCESS)];
    for (devices, hypercalls) in [
        (device(0x20_1000, 0), Hypercalls::default()),
        (Devices::default(), list(0x20_1000)),
        (device(0x20_0000, 0), list(0x20_1000)),
    ] {
        let found = SmallPages::find(&calls, &Kernel::Other, Some(&devices), Some(&hypercalls));
        assert_eq!(
            found.expect("found").to_string(),
            "the guest counts pages of 4 KiB, but UV_SHARE_PAGE takes frames of 64 KiB: with 0x200, 0x2 it names the memory \
             at 0x2000000, which is zeroed and shared; 0x201000, which it gave to the host, stays private"
        );
    }
}

#[test]
fn a_guest_that_counts_frames_and_forgot_one_is_not_accused() {
    let calls = [share(0x20, 2, Code::SUCCESS)];
    let none = Hypercalls::default();
    let find = |devices: &Devices, hypercalls: &Hypercalls| {
        SmallPages::find(&calls, &Kernel::Other, Some(devices), Some(hypercalls))
    };
    assert_eq!(find(&Devices::default(), &none), None, "nothing private was given away");
    assert_eq!(find(&device(0x56_0000, 0), &none), None, "no number fits");
    assert_eq!(find(&device(0x2_0000, 1), &none), None, "one fits, but devices reached what was shared");
    assert_eq!(find(&device(0x2_0000, 0), &list(0x56_0000)), None, "one of two fits");
    assert!(find(&device(0x2_0000, 0), &none).is_some());
    assert_eq!(SmallPages::find(&calls, &Kernel::Other, None, None), None);
}

#[test]
fn a_linux_is_known_by_its_file_even_if_it_gave_nothing_away() {
    let linux = |page| Kernel::Linux { version: "6.1.176".to_owned(), svm: true, page };
    let calls = [share(0x300, 1, Code::SUCCESS), share(0xd50, 0x4000, Code::P2)];
    let find = |kernel: &Kernel, devices: &Devices| {
        SmallPages::find(&calls, kernel, Some(devices), None).map(|found| found.to_string())
    };
    let said = find(&linux(Some(0x1000)), &device(0xd6_0000, 5)).expect("found");
    assert_eq!(
        said,
        "the kernel, Linux 6.1.176, was built with CONFIG_PPC_4K_PAGES and counts pages of 4 KiB, but UV_SHARE_PAGE takes \
         frames of 64 KiB: with 0xd50, 0x4000 it names the memory at 0xd500000, which is not all RAM, and nothing is \
         shared; 0xd60000, which it gave to the host, stays private; CONFIG_PPC_64K_PAGES avoids this"
    );
    let said = find(&linux(Some(0x1000)), &Devices::default()).expect("found");
    assert!(
        said.contains("with 0x300, 0x1 it names the memory at 0x3000000, which is zeroed and shared;"),
        "{said}"
    );
    assert_eq!(find(&linux(Some(0x1_0000)), &device(0xd6_0000, 0)), None, "its pages are frames");
    assert_eq!(find(&linux(None), &device(0xd6_0000, 5)), None, "nobody says what its pages are");
    assert!(SmallPages::find(&[], &linux(Some(0x1000)), None, None).is_none(), "it shared nothing");
}
