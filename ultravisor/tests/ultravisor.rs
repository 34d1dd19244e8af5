//! The ultravisor under real QEMU, with guests of a few hand-assembled instructions.

mod uv;

use postern_ultravisor::{Behaviour, Config, End, Firmware, Guest, Violation};
use uv::asm::{Asm, ME, SF};
use uv::vm::{KERNEL_BASE, RAM_SIZE, RESULTS, Vm};

const UV_ESM: u64 = 0xf110;
const UV_SHARE_PAGE: u64 = 0xf130;
const UV_UNSHARE_PAGE: u64 = 0xf134;
const H_SET_MODE: u64 = 0x31c;
const PATTERN: u64 = 0x5a5a_5a5a_5a5a_5a5a;
/// A frame that nothing else uses.
const GFN: u64 = 0x300;

const U_FUNCTION: u64 = -2_i64 as u64;
const U_PARAMETER: u64 = -4_i64 as u64;
const U_RETRY: u64 = -5_i64 as u64;
const U_PERMISSION: u64 = -11_i64 as u64;

/// What a ROM does first: 64-bit mode (`mtmsrd` leaves ME as it is: 0), and the tree's address kept in r31.
fn rom() -> Asm {
    let mut asm = Asm::big(0x100);
    asm.move_register(31, 3);
    asm.load(6, SF);
    asm.write_msr(6);
    asm.load(30, RESULTS);
    asm
}

/// UV_ESM with the arguments that every test uses; it does not return if it succeeds.
fn esm(asm: &mut Asm) {
    asm.load(3, UV_ESM);
    asm.load(4, KERNEL_BASE);
    asm.move_register(5, 31);
    asm.ultracall();
}

fn config(behaviour: Behaviour, faults: &str) -> Config {
    Config {
        live_hcalls: false,
        tpm: None,
        behaviour,
        faults: faults.parse().expect("faults"),
        reserve: Vec::new(),
        edits: Vec::new(),
        host: Vec::new(),
        attack: None,
        registers: None,
        guest: Guest::Strict,
        firmware: Firmware::Bios,
        kernel_elf: "set by the VM".into(),
        log: None,
        publish_node: false,
    }
}

#[test]
fn a_guest_enters_shares_and_unshares() {
    let mut rom = rom();
    // UV_ESM forgets memory, and keeps registers.
    for (opcode, kept) in [(UV_SHARE_PAGE, 14), (0xf1fc, 15), (0xf104, 16)] {
        rom.ultracall_with(opcode, &[GFN, 1]);
        rom.move_register(kept, 3);
    }
    esm(&mut rom);
    rom.store_result(3, 3);
    rom.done();

    let mut kernel = Asm::big(KERNEL_BASE);
    kernel.load(30, RESULTS);
    for (result, kept) in (0..).zip(14..17) {
        kernel.store_result(result, kept);
    }
    kernel.store_result(4, 3);
    kernel.store_result(5, 4);
    kernel.store_result(6, 5);
    kernel.read_msr(7);
    kernel.store_result(7, 7);
    let frame = GFN << 16;
    let touch = |asm: &mut Asm, result| {
        asm.load(20, frame);
        asm.load_doubleword(21, 20);
        asm.store_result(result, 21);
        asm.load(21, PATTERN);
        asm.store_doubleword(21, 20);
    };
    touch(&mut kernel, 8);
    kernel.ultracall_with(UV_SHARE_PAGE, &[GFN, 4]);
    kernel.store_result(9, 3);
    touch(&mut kernel, 10);
    kernel.ultracall_with(UV_SHARE_PAGE, &[GFN, 1]);
    touch(&mut kernel, 11);
    kernel.ultracall_with(UV_UNSHARE_PAGE, &[GFN, 1]);
    kernel.store_result(12, 3);
    touch(&mut kernel, 13);
    // Other registers come through a call unharmed.
    kernel.load(24, 0x0123_4567_89ab_cdef);
    kernel.ultracall_with(0xf1fc, &[]);
    kernel.store_result(14, 24);
    kernel.done();

    for (behaviour, share, unshare, twice) in
        [(Behaviour::Published, UV_SHARE_PAGE, UV_UNSHARE_PAGE, PATTERN), (Behaviour::Documented, 0, 0, 0)]
    {
        let log = tempfile::NamedTempFile::new().expect("log");
        let config = Config { log: Some(log.path().into()), ..config(behaviour, "") };
        let mut vm = Vm::start(&rom, &kernel, config, 1);
        vm.ram.write_u64(frame, PATTERN);
        vm.wait_until_done();
        let results = vm.results(15);
        assert_eq!(results[..3], [U_PERMISSION, U_FUNCTION, U_PERMISSION]);
        let fdt = results[4];
        assert_eq!(results[4..7], [fdt, KERNEL_BASE, 0], "entered as from kexec");
        // MSR[ME] belongs to the hypervisor: in QEMU 10 a guest's write to MSR does not change it, in QEMU 7.2 it does.
        assert_eq!(results[7] & !ME, SF);
        assert_eq!(results[8..11], [0, share, 0], "forgotten by UV_ESM, then zeroed by the share");
        assert_eq!(results[11..14], [twice, unshare, 0]);
        assert_eq!(results[14], 0x0123_4567_89ab_cdef);

        let map = vm.share_map();
        assert!(!map.is_shared(GFN) && map.is_shared(GFN + 1) && map.is_shared(GFN + 3));
        assert_eq!(map.reserved_ranges().len(), 1);
        let report = vm.stop();
        assert!(matches!(report.end, End::QemuEnded));
        assert!(report.secure);
        assert_eq!(report.esm.len(), 1);
        assert!(report.esm[0].kernel.is_equal());
        assert_eq!(report.esm[0].waived.len(), 2);
        assert_eq!(report.esm[0].reserved.len(), 10);
        assert_eq!((report.shared[0].clone(), report.shared.len()), (GFN + 1..GFN + 4, 1));
        assert_eq!((report.ever_shared[0].clone(), report.ever_shared.len()), (GFN..GFN + 4, 1));
        let violations = [
            Violation::NotSecure(UV_SHARE_PAGE),
            Violation::UnknownCall(0xf1fc),
            Violation::HypervisorCall(0xf104),
            // The test writes to a shared frame before it takes it back.
            Violation::ShowedData(GFN << 16),
            Violation::UnknownCall(0xf1fc),
        ];
        // This guest leaves a value in a register that is no argument of its call: r6 at its first call.
        let unscrubbed = |violation: &&Violation| matches!(violation, Violation::Unscrubbed { .. });
        let first = Violation::Unscrubbed { opcode: UV_SHARE_PAGE, register: 6 };
        assert_eq!(report.violations.iter().find(unscrubbed), Some(&first));
        let others: Vec<_> = report.violations.iter().filter(|v| !unscrubbed(v)).collect();
        assert_eq!(others, violations.iter().collect::<Vec<_>>());
        assert_eq!(report.calls.len(), 8);
        let lines = std::fs::read_to_string(log.path()).expect("log");
        assert_eq!(lines.lines().count(), 8 + 1 + report.violations.len(), "{lines}");
        let logged = |violation: &Violation| lines.contains(&violation.to_string());
        assert!(report.violations.iter().all(logged), "{lines}");
    }
}

#[test]
fn a_system_call_that_is_no_ultracall_reaches_the_guests_own_vector() {
    let mut rom = rom();
    rom.load(3, UV_SHARE_PAGE);
    rom.system_call();
    rom.store_result(0, 3);
    rom.ultracall_with(0xf1fc, &[]);
    rom.store_result(1, 3);
    rom.done();
    let mut vm = Vm::start(&rom, &Asm::big(KERNEL_BASE), config(Behaviour::Published, ""), 1);
    vm.wait_until_done();
    assert_eq!(vm.results(2), [uv::vm::OWN_VECTOR, U_FUNCTION]);
    assert_eq!(vm.stop().calls.len(), 1);
}

#[test]
fn a_little_endian_guest_is_served() {
    let mut rom = rom();
    esm(&mut rom);
    rom.done();
    let mut kernel = Asm::big(KERNEL_BASE);
    kernel.hypercall_with(H_SET_MODE, &[1, 4, 0, 0]);
    kernel.enter_with_msr(SF | ME | 1);
    kernel.little();
    kernel.load(30, RESULTS);
    kernel.ultracall_with(UV_SHARE_PAGE, &[GFN, 2]);
    kernel.store_result(0, 3);
    kernel.ultracall_with(0xf1fc, &[]);
    kernel.store_result(1, 3);
    kernel.read_msr(7);
    kernel.store_result(2, 7);
    kernel.done();
    let mut vm = Vm::start(&rom, &kernel, config(Behaviour::Documented, ""), 1);
    vm.wait_until_done();
    let results: Vec<u64> = vm.results(3).into_iter().map(u64::swap_bytes).collect();
    assert_eq!(results, [0, U_FUNCTION, SF | ME | 1]);
    let report = vm.stop();
    assert_eq!((report.shared[0].clone(), report.shared.len()), (GFN..GFN + 2, 1));
}

#[test]
fn a_guest_with_translation_and_relocated_interrupts_is_served() {
    const LINEAR: u64 = 0xc000_0000_0000_0000;
    const IR_DR: u64 = 0x30;
    let mut rom = rom();
    esm(&mut rom);
    rom.done();
    let mut kernel = Asm::big(KERNEL_BASE);
    kernel.hypercall_with(0x37c, &[0x1d, uv::vm::PROCESS_TABLE, 0, 0]);
    kernel.hypercall_with(H_SET_MODE, &[1, 4, 0, 0]);
    kernel.hypercall_with(H_SET_MODE, &[3, 3, 0, 0]);
    kernel.base |= LINEAR;
    kernel.enter_with_msr(SF | ME | IR_DR | 1);
    kernel.little();
    kernel.load(30, LINEAR | RESULTS);
    kernel.ultracall_with(UV_SHARE_PAGE, &[GFN, 2]);
    kernel.store_result(0, 3);
    kernel.ultracall_with(0xf1fc, &[]);
    kernel.store_result(1, 3);
    kernel.read_msr(7);
    kernel.store_result(2, 7);
    kernel.load(3, 0);
    kernel.system_call();
    kernel.store_result(3, 3);
    kernel.done();
    // Its page tables and its handler were in memory before UV_ESM: a development build keeps them.
    let mut vm = Vm::start(&rom, &kernel, config(Behaviour::Published, "esm:warn-only"), 1);
    vm.wait_until_done();
    let results: Vec<u64> = vm.results(4).into_iter().map(u64::swap_bytes).collect();
    assert_eq!(results, [UV_SHARE_PAGE, U_FUNCTION, SF | ME | IR_DR | 1, uv::vm::OWN_VECTOR]);
    let report = vm.stop();
    assert_eq!((report.shared[0].clone(), report.shared.len()), (GFN..GFN + 2, 1));
}

#[test]
fn faults_reach_the_guest() {
    let mut rom = rom();
    esm(&mut rom);
    rom.move_register(14, 3);
    esm(&mut rom);
    rom.done();
    let mut kernel = Asm::big(KERNEL_BASE);
    kernel.load(30, RESULTS);
    kernel.store_result(0, 14);
    for result in 1..5 {
        kernel.ultracall_with(UV_SHARE_PAGE, &[GFN, 1]);
        kernel.store_result(result, 3);
    }
    kernel.done();
    let faults = "esm:1=U_RETRY,share:retry=2,share:3=silent";
    let mut vm = Vm::start(&rom, &kernel, config(Behaviour::Documented, faults), 1);
    vm.wait_until_done();
    assert_eq!(vm.results(5), [U_RETRY, U_RETRY, U_RETRY, 0, 0]);
    let report = vm.stop();
    assert_eq!(report.calls.iter().filter(|call| call.faulted).count(), 4);
    assert_eq!(report.shared.len(), 1);
}

#[test]
fn an_esm_aborted_halfway_leaves_a_normal_vm() {
    let mut rom = rom();
    esm(&mut rom);
    rom.store_result(0, 3);
    rom.ultracall_with(UV_SHARE_PAGE, &[GFN, 1]);
    rom.store_result(1, 3);
    rom.done();
    for firmware in [Firmware::Bios, Firmware::Slof] {
        // With a raw ROM the tree lacks SLOF's nodes.
        let faults = if firmware == Firmware::Bios { "esm:after" } else { "" };
        let config = Config { firmware, ..config(Behaviour::Published, faults) };
        let mut vm = Vm::start(&rom, &Asm::big(KERNEL_BASE), config, 1);
        vm.wait_until_done();
        assert_eq!(vm.results(2), [U_PARAMETER, U_PERMISSION]);
        assert!(!vm.stop().secure);
    }
}

#[test]
fn the_node_is_there_at_the_first_instruction() {
    let mut rom = rom();
    rom.store_result(0, 31);
    rom.done();
    let config = Config { publish_node: true, ..config(Behaviour::Published, "") };
    let mut vm = Vm::start(&rom, &Asm::big(KERNEL_BASE), config, 1);
    vm.wait_until_done();
    let address = vm.results(1)[0];
    assert_eq!(address, RAM_SIZE - (2 << 20));
    let size = vm.ram.read_u64(address) & 0xffff_ffff;
    let tree = vm.ram.read(address, usize::try_from(size).expect("size"));
    let name = b"\0\0\0\x01ibm,ultravisor\0";
    assert!(tree.windows(name.len()).any(|window| window == name));
    assert!(vm.stop().calls.is_empty());
}

#[test]
fn two_cpus_are_served_each_with_its_own_answer() {
    const CALLS: u64 = 200;
    let mut rom = rom();
    // RTAS start-cpu(1, SECOND, 0) by H_RTAS.
    rom.load(20, 0x1_8000);
    rom.load(21, 0x2006 << 32 | 3);
    rom.store_at(21, 20, 0);
    rom.load(21, 1 << 32 | 1);
    rom.store_at(21, 20, 8);
    rom.load(21, KERNEL_BASE << 32);
    rom.store_at(21, 20, 16);
    rom.hypercall_with(0xf000, &[0x1_8000]);
    let work = |asm: &mut Asm, opcode: u64, expected: u64, result: u16| {
        asm.load(30, RESULTS);
        asm.load(22, 0);
        asm.load(23, expected);
        asm.repeat(CALLS, |asm| {
            asm.ultracall_with(opcode, &[1, 1]);
            asm.xor(3, 3, 23);
            asm.or(22, 22, 3);
        });
        asm.store_result(result, 22);
    };
    work(&mut rom, 0xf1fc, U_FUNCTION, 0);
    // Wait for the other.
    rom.wait_for_result(2);
    rom.done();
    let mut second = Asm::big(KERNEL_BASE);
    work(&mut second, UV_SHARE_PAGE, U_PERMISSION, 1);
    second.load(5, 1);
    second.store_result(2, 5);
    second.forever();

    let mut vm = Vm::start(&rom, &second, config(Behaviour::Published, ""), 2);
    vm.wait_until_done();
    assert_eq!(vm.results(3), [0, 0, 1]);
    let report = vm.stop();
    let made_by = |thread: &str| report.calls.iter().filter(|call| call.thread == thread).count() as u64;
    assert_eq!((made_by("01"), made_by("02")), (CALLS, CALLS));
    let mut times: Vec<_> = report.calls.iter().map(|call| call.duration).collect();
    times.sort();
    println!("one ultracall: median {:?}, worst {:?}", times[times.len() / 2], times[times.len() - 1]);
}

#[test]
fn qemu_may_die_at_any_moment() {
    let mut rom = rom();
    rom.repeat(1 << 20, |asm| asm.ultracall_with(0xf1fc, &[]));
    rom.done();
    for delay in [0, 1, 3, 10, 30, 100] {
        let vm = Vm::start(&rom, &Asm::big(KERNEL_BASE), config(Behaviour::Published, ""), 1);
        std::thread::sleep(std::time::Duration::from_millis(delay));
        let report = vm.stop();
        assert!(matches!(report.end, End::QemuEnded), "{:?}", report.end);
    }
}
