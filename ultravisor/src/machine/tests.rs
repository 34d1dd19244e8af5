use super::super::esm::tests::{BASE, INITRD, RAM, RTAS_BASE, RTAS_TEXT, Says, TREE, tree, tree_that};
use super::super::image::tests::elf;
use super::super::scratch::ScratchRam;
use super::*;
use crate::frames::{FRAME_SHIFT, FrameState};

const FRAMES: u64 = RAM >> FRAME_SHIFT;

struct Guest {
    machine: Machine,
    ram: ScratchRam,
}

impl Guest {
    fn normal(behaviour: Behaviour) -> Self {
        let image = KernelImage::parse(&elf(&[(0, b"kernel")])).expect("image");
        let ram = ScratchRam::new(RAM);
        ram.write(BASE, b"kernel").expect("write");
        ram.write(INITRD, b"initrd").expect("write");
        ram.write(RTAS_BASE, &RTAS_TEXT).expect("write");
        ram.write(TREE, &tree(&[], &[])).expect("write");
        let map = Arc::new(ShareMap::new(RAM));
        Self { machine: Machine::new(behaviour, Firmware::Slof, image, map), ram }
    }

    fn secure(behaviour: Behaviour) -> Self {
        let mut guest = Self::normal(behaviour);
        let verdict = guest.call(0xf110, &[BASE, TREE]);
        assert_eq!(verdict.resume, Resume::Reenter { kernel_base: BASE, fdt: TREE });
        guest
    }

    fn both() -> [Self; 2] {
        [Self::secure(Behaviour::Published), Self::secure(Behaviour::Documented)]
    }

    fn call_with(&mut self, opcode: u64, given: &[u64], msr: u64, fault: Option<Effect>) -> Verdict {
        let mut arguments = [0; 9];
        arguments[..given.len()].copy_from_slice(given);
        self.machine.serve(&self.ram, &Call { opcode, arguments, msr, pidr: 0 }, fault).expect("RAM")
    }

    fn call(&mut self, opcode: u64, given: &[u64]) -> Verdict {
        self.call_with(opcode, given, 0, None)
    }

    fn fill(&self, gfn: u64) {
        self.ram.write(gfn << FRAME_SHIFT, &[0x5a; FRAME_SIZE as usize]).expect("write");
    }

    /// The byte that the whole frame is filled with.
    fn filling(&self, gfn: u64) -> u8 {
        let frame = self.ram.read(gfn << FRAME_SHIFT, FRAME_SIZE).expect("read").expect("in RAM");
        assert!(frame.iter().all(|byte| *byte == frame[0]));
        frame[0]
    }
}

/// The code concluded, and what r3 shows (`None`: the opcode, untouched).
fn shown(verdict: Verdict) -> (Code, Option<Code>) {
    match verdict.resume {
        Resume::Answer(code) => (verdict.code, Some(code)),
        Resume::Untouched => (verdict.code, None),
        Resume::Data(_) | Resume::Reenter { .. } | Resume::Never => panic!("no answer"),
    }
}

#[test]
fn unknown_numbers_and_the_hypervisors_calls_are_told_apart() {
    for mut guest in Guest::both() {
        assert_eq!(shown(guest.call(0xf111, &[])), (Code::FUNCTION, Some(Code::FUNCTION)));
        assert_eq!(shown(guest.call(0, &[])), (Code::FUNCTION, Some(Code::FUNCTION)));
        for opcode in [0xf104, 0xf11c, 0xf128, 0xf13c, 0xf150] {
            assert_eq!(shown(guest.call(opcode, &[])), (Code::PERMISSION, Some(Code::PERMISSION)));
        }
        assert_eq!(guest.machine.violations[0], Violation::UnknownCall(0xf111));
        assert_eq!(guest.machine.violations[2], Violation::HypervisorCall(0xf104));
    }
}

#[test]
fn share_calls_of_a_normal_vm_or_from_problem_state_are_not_permitted() {
    for behaviour in [Behaviour::Published, Behaviour::Documented] {
        let mut guest = Guest::normal(behaviour);
        for opcode in [0xf130, 0xf134, 0xf140] {
            assert_eq!(shown(guest.call(opcode, &[16, 1])), (Code::PERMISSION, Some(Code::PERMISSION)));
        }
        assert_eq!(guest.machine.violations[0], Violation::NotSecure(0xf130));
        let verdict = guest.call_with(0xf110, &[BASE, TREE], MSR_PR, None);
        assert_eq!(shown(verdict), (Code::PERMISSION, Some(Code::PERMISSION)));
    }
    for mut guest in Guest::both() {
        let verdict = guest.call_with(0xf130, &[16, 1], MSR_PR, None);
        assert_eq!(shown(verdict), (Code::PERMISSION, Some(Code::PERMISSION)));
        assert_eq!(guest.machine.violations, [Violation::ProblemState(0xf130)]);
        assert!(guest.machine.map.shared_ranges().is_empty());
    }
}

#[test]
fn a_share_zeroes_marks_and_answers_as_the_behaviour_says() {
    let [mut published, mut documented] = Guest::both();
    for guest in [&mut published, &mut documented] {
        guest.fill(16);
        guest.fill(17);
        guest.fill(18);
    }
    assert_eq!(shown(published.call(0xf130, &[16, 2])), (Code::SUCCESS, None));
    assert_eq!(shown(documented.call(0xf130, &[16, 2])), (Code::SUCCESS, Some(Code::SUCCESS)));
    for guest in [&published, &documented] {
        assert_eq!(guest.machine.map.shared_ranges(), [16..18]);
        assert_eq!([guest.filling(16), guest.filling(17), guest.filling(18)], [0, 0, 0x5a]);
        assert!(guest.machine.violations.is_empty());
    }
}

#[test]
fn sharing_twice_keeps_the_data_as_published_and_zeroes_as_documented() {
    for (mut guest, expected) in Guest::both().into_iter().zip([0x5a, 0]) {
        guest.call(0xf130, &[16, 1]);
        guest.fill(16);
        assert_eq!(guest.call(0xf130, &[16, 1]).code, Code::SUCCESS);
        assert_eq!(guest.filling(16), expected);
    }
}

#[test]
fn a_range_outside_ram_changes_nothing() {
    let cases = [
        // gfn, count, documented code
        (FRAMES, 1, Code::PARAMETER),
        (u64::MAX, 2, Code::PARAMETER),
        (FRAMES - 1, 2, Code::P2),
        (16, u64::MAX, Code::P2),
    ];
    for (gfn, count, documented) in cases {
        let [mut published, mut other] = Guest::both();
        for opcode in [0xf130, 0xf134] {
            assert_eq!(shown(published.call(opcode, &[gfn, count])), (Code::P2, None));
            assert_eq!(shown(other.call(opcode, &[gfn, count])), (documented, Some(documented)));
            let violation = Violation::BadRange { opcode, gfn, count };
            assert_eq!(published.machine.violations.last(), Some(&violation));
        }
        assert!(published.machine.map.ever_shared_ranges().is_empty());
        assert!(other.machine.map.ever_shared_ranges().is_empty());
    }
}

#[test]
fn an_empty_range_is_a_no_op_as_published_and_wrong_as_documented() {
    let [mut published, mut documented] = Guest::both();
    assert_eq!(shown(published.call(0xf130, &[16, 0])), (Code::SUCCESS, None));
    assert_eq!(shown(published.call(0xf130, &[0, 0])), (Code::P2, None));
    assert_eq!(shown(documented.call(0xf130, &[16, 0])), (Code::P2, Some(Code::P2)));
    for guest in [published, documented] {
        assert!(!guest.machine.violations.is_empty());
        assert!(guest.machine.map.ever_shared_ranges().is_empty());
    }
}

#[test]
fn an_unshare_zeroes_what_was_shared() {
    for mut guest in Guest::both() {
        guest.call(0xf130, &[16, 4]);
        guest.fill(17);
        assert_eq!(guest.call(0xf134, &[17, 1]).code, Code::SUCCESS);
        assert_eq!(guest.machine.map.shared_ranges(), [16..17, 18..20]);
        assert_eq!(guest.machine.map.ever_shared_ranges(), [16..20]);
        assert_eq!(guest.filling(17), 0);
    }
}

#[test]
fn unsharing_the_never_shared_keeps_data_as_published_and_zeroes_as_documented() {
    for (mut guest, expected) in Guest::both().into_iter().zip([0x5a, 0]) {
        guest.fill(30);
        assert_eq!(guest.call(0xf134, &[30, 1]).code, Code::SUCCESS);
        assert_eq!(guest.filling(30), expected);
    }
}

/// 0x3f6 is the TSS buffer, 0x3f8 to 0x3fd are RTAS's: the source shares them, and gives nobody anything back.
#[test]
fn frames_that_the_ultravisor_shares_stay_shared() {
    for mut guest in Guest::both() {
        guest.call(0xf130, &[0x3f5, 1]);
        for gfn in [0x3f6, 0x3f8, 0x3fd] {
            guest.fill(gfn);
            assert_eq!(guest.call(0xf134, &[gfn, 1]).code, Code(-55));
            assert_eq!(guest.call(0xf130, &[gfn, 1]).code, Code::SUCCESS, "sharing never fails");
            assert_eq!(guest.filling(gfn), 0x5a, "and does nothing");
            assert!(!guest.machine.map.is_shared(gfn));
            let violations = [0xf134, 0xf130].map(|opcode| Violation::ReservedFrame { opcode, gfn });
            assert_eq!(guest.machine.violations.split_off(0), violations);
        }
        assert_eq!(guest.call(0xf134, &[0x3f5, 2]).code, Code(-55));
        assert!(guest.machine.map.is_shared(0x3f5), "one such frame, and nothing changes");
    }
}

/// 0x3f7 is the TSS transfer frame, 0x3fe and 0x3ff are the ESM blob's, which hold the key: ordinary secure memory.
#[test]
fn a_share_of_the_ultravisors_secrets_succeeds_and_destroys_them() {
    for mut guest in Guest::both() {
        for gfn in [0x3f7, 0x3fe, 0x3ff] {
            guest.fill(gfn);
            assert_eq!(guest.call(0xf130, &[gfn, 1]).code, Code::SUCCESS);
            assert_eq!((guest.filling(gfn), guest.machine.map.is_shared(gfn)), (0, true));
            let violation = Violation::ReservedFrame { opcode: 0xf130, gfn };
            assert_eq!(guest.machine.violations.last(), Some(&violation));
            assert_eq!(guest.call(0xf134, &[gfn, 1]).code, Code::SUCCESS);
        }
    }
}

#[test]
fn a_share_of_the_guests_rtas_area_only_seems_to_happen() {
    for mut guest in Guest::both() {
        let gfn = RTAS_BASE >> FRAME_SHIFT;
        guest.fill(gfn + 1);
        assert_eq!(guest.call(0xf130, &[gfn, 2]).code, Code::SUCCESS);
        assert_eq!(guest.filling(gfn + 1), 0x5a);
        assert!(guest.machine.map.ever_shared_ranges().is_empty());
        assert_eq!(guest.call(0xf134, &[gfn, 2]).code, Code(-55));
        let violation = Violation::ReservedFrame { opcode: 0xf130, gfn };
        assert_eq!(guest.machine.violations[0], violation);
    }
}

#[test]
fn a_range_with_a_frame_outside_the_slots_changes_nothing() {
    for behaviour in [Behaviour::Published, Behaviour::Documented] {
        let mut guest = Guest::normal(behaviour);
        guest.machine.map.set(0x101, FrameState::Outside);
        guest.call(0xf110, &[BASE, TREE]);
        assert!(guest.machine.is_secure());
        guest.fill(0x100);
        guest.fill(0x101);
        for opcode in [0xf130, 0xf134] {
            let verdict = guest.call(opcode, &[0x100, 2]);
            let published = behaviour == Behaviour::Published;
            assert_eq!(shown(verdict), (Code(-55), (!published).then_some(Code(-55))));
            assert_eq!(guest.call(opcode, &[0x101, 1]).code, if published { Code(-55) } else { Code(-4) });
        }
        assert_eq!((guest.filling(0x100), guest.filling(0x101)), (0x5a, 0x5a));
        assert!(guest.machine.map.ever_shared_ranges().is_empty());
        assert_eq!(guest.machine.violations, [], "the guest could not know");
    }
}

#[test]
fn a_started_cpu_with_a_high_server_number_ends_the_machine() {
    let mut guest = Guest::normal(Behaviour::Published);
    let says = Says { capacity: &[0, 0, 0, 0x1000_0000, 2], servers: &[0, 1], ..Says::default() };
    guest.ram.write(TREE, &tree_that(says)).expect("write");
    assert_eq!(guest.machine.start_cpu(99), Ok(()), "not checked before UV_ESM");
    guest.call(0xf110, &[BASE, TREE]);
    assert_eq!(guest.machine.start_cpu(3), Ok(()));
    assert!(matches!(guest.machine.start_cpu(4), Err(Violation::Dead(_))));
    assert!(matches!(guest.machine.violations[..], [Violation::Dead(_)]));
}

#[test]
fn a_late_abort_is_h_state_and_an_assertion_is_no_answer() {
    let mut guest = Guest::normal(Behaviour::Published);
    guest.ram.write(TREE, &tree_that(Says { boot_cpu: 1, ..Says::default() })).expect("write");
    assert_eq!(shown(guest.call(0xf110, &[BASE, TREE])), (Code(-75), Some(Code(-75))));
    assert!(!guest.machine.is_secure());
    guest.ram.write(TREE, &tree_that(Says { capacity: &[0], ..Says::default() })).expect("write");
    assert_eq!(guest.call(0xf110, &[BASE, TREE]).resume, Resume::Never);
    assert!(matches!(guest.machine.violations[..], [Violation::Dead(_)]));
}

#[test]
fn unshare_all_returns_only_what_the_guest_shared() {
    for mut guest in Guest::both() {
        guest.call(0xf130, &[16, 2]);
        guest.call(0xf130, &[40, 1]);
        guest.fill(40);
        guest.fill(50);
        assert_eq!(guest.call(0xf140, &[]).code, Code::SUCCESS);
        assert!(guest.machine.map.shared_ranges().is_empty());
        assert_eq!(guest.machine.map.reserved_ranges(), [0x3f6..0x400]);
        assert_eq!((guest.filling(40), guest.filling(50)), (0, 0x5a));
    }
}

#[test]
fn esm_counts_its_parameters_as_each_description_does() {
    let answer = |behaviour, base, tree| shown(Guest::normal(behaviour).call(0xf110, &[base, tree]));
    let published = |base, tree| answer(Behaviour::Published, base, tree);
    let documented = |base, tree| answer(Behaviour::Documented, base, tree);
    assert_eq!(published(0, TREE), (Code::P2, Some(Code::P2)));
    assert_eq!(published(BASE, 0), (Code::P3, Some(Code::P3)));
    assert_eq!(documented(0, TREE), (Code::PARAMETER, Some(Code::PARAMETER)));
    assert_eq!(documented(BASE, 0), (Code::P2, Some(Code::P2)));
}

#[test]
fn a_second_esm_changes_nothing() {
    let [mut published, mut documented] = Guest::both();
    published.call(0xf130, &[16, 1]);
    assert_eq!(shown(published.call(0xf110, &[BASE, TREE])), (Code::RETRY, Some(Code::RETRY)));
    assert_eq!(shown(documented.call(0xf110, &[BASE, TREE])), (Code::SUCCESS, Some(Code::SUCCESS)));
    assert_eq!(published.machine.violations, [Violation::AlreadySecure]);
    assert!(published.machine.map.is_shared(16));
    assert_eq!(published.machine.esm.len(), 1);
}

#[test]
fn esm_with_an_unmet_requirement_aborts_into_a_normal_vm() {
    let mut guest = Guest::normal(Behaviour::Published);
    guest.ram.write(TREE, &tree(&["rtas-size"], &[])).expect("write");
    assert_eq!(shown(guest.call(0xf110, &[BASE, TREE])), (Code::PARAMETER, Some(Code::PARAMETER)));
    assert!(!guest.machine.is_secure());
    assert_eq!(guest.machine.map.state(16), Some(FrameState::Normal));
    assert_eq!(shown(guest.call(0xf130, &[16, 1])), (Code::PERMISSION, Some(Code::PERMISSION)));
}

#[test]
fn a_changed_kernel_is_refused_and_a_development_build_lets_it_pass() {
    for warn_only in [false, true] {
        let mut guest = Guest::normal(Behaviour::Published);
        if warn_only {
            guest.machine.warn_only();
        }
        guest.ram.write(BASE + 2, b"R").expect("write");
        let verdict = guest.call(0xf110, &[BASE, TREE]);
        assert_eq!(guest.machine.is_secure(), warn_only);
        assert_eq!(verdict.code, if warn_only { Code::SUCCESS } else { Code(-4) });
        assert_eq!(guest.machine.violations, [Violation::KernelDiffers(BASE + 2)]);
    }
}

#[test]
fn a_tree_where_the_ultravisor_takes_a_frame_is_reported() {
    let mut guest = Guest::normal(Behaviour::Published);
    let at = RAM - 2 * FRAME_SIZE;
    guest.ram.write(at, &tree(&[], &[])).expect("write");
    guest.call(0xf110, &[BASE, at]);
    assert!(guest.machine.is_secure());
    assert_eq!(guest.machine.violations, [Violation::ReservationHits(at)]);
}

#[test]
fn reserved_frames_lose_their_content() {
    let mut guest = Guest::normal(Behaviour::Published);
    for gfn in [0x3f7, 0x3fb] {
        guest.fill(gfn);
    }
    guest.call(0xf110, &[BASE, TREE]);
    assert_eq!((guest.filling(0x3f7), guest.filling(0x3fb)), (0, 0));
}

#[test]
fn faults_change_nothing_and_say_what_they_were_told_to() {
    let [mut published, mut documented] = Guest::both();
    for guest in [&mut published, &mut documented] {
        guest.fill(16);
        let verdict = guest.call_with(0xf130, &[16, 1], 0, Some(Effect::Answer(Code(-75))));
        assert_eq!(shown(verdict), (Code(-75), Some(Code(-75))));
    }
    let silent = Some(Effect::Silent);
    assert_eq!(shown(published.call_with(0xf130, &[16, 1], 0, silent)), (Code::SUCCESS, None));
    let verdict = documented.call_with(0xf130, &[16, 1], 0, silent);
    assert_eq!(shown(verdict), (Code::SUCCESS, Some(Code::SUCCESS)));
    for guest in [published, documented] {
        assert_eq!(guest.filling(16), 0x5a);
        assert!(guest.machine.map.ever_shared_ranges().is_empty());
    }
    let mut guest = Guest::normal(Behaviour::Documented);
    let verdict = guest.call_with(0xf110, &[BASE, TREE], 0, Some(Effect::AbortEsm));
    assert_eq!(shown(verdict), (Code::PARAMETER, Some(Code::PARAMETER)));
    assert!(!guest.machine.is_secure());
}

#[test]
fn a_file_of_the_esm_blob_is_never_found() {
    for mut guest in Guest::both() {
        let verdict = guest.call_with(0xf14c, &[0; 9], MSR_PR, None);
        assert_eq!(shown(verdict), (Code::PARAMETER, Some(Code::PARAMETER)));
    }
}
