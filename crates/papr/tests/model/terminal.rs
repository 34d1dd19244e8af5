//! Tests of `terminal` with the model.
#![allow(unsafe_code, reason = "the hypervisor is a model")]

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering;
use papr::clock::Clock;
use papr::hcall::HcallError;
use papr::hcall::{Hcall, HcallReturn};
use papr::platform::Hypervisor;
use papr::terminal::Terminal;
use postern_cases::case;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex as StdMutex};
use std::vec::Vec;
use testkit::model::Model;

/// What was written, as the hypervisor understood it.
fn recorder(machine: &Model) -> Arc<StdMutex<Vec<u8>>> {
    let seen = Arc::new(StdMutex::new(Vec::new()));
    let into = seen.clone();
    machine.on_hcall(move |_, [_, len, high, low]| {
        let bytes = [high.to_be_bytes(), low.to_be_bytes()].concat();
        into.lock().unwrap().extend(&bytes[..len as usize]);
        Some(HcallReturn::default())
    });
    seen
}

#[test]
fn text_arrives_whole_in_chunks_of_sixteen() {
    let machine = Model::new(false);
    let seen = recorder(&machine);
    let terminal = Terminal::new();
    terminal.set_number(0x7100_0000);
    let text: Vec<u8> = (0..100).collect();
    assert!(terminal.write(&machine, &text));
    assert_eq!(*seen.lock().unwrap(), text);
    assert!(machine.hcalls().iter().all(|(_, args)| args[0] == 0x7100_0000));
    assert_eq!(machine.hcalls().len(), 7);
}

/// A hypervisor that is busy for as long as it is told to be, on a clock that may stand still.
#[derive(Default)]
struct Busy {
    calls: AtomicU64,
    turns: AtomicU64,
    runs: bool,
    takes: AtomicBool,
}

impl Hypervisor for Busy {
    unsafe fn hcall(&self, _: Hcall, _: [u64; 4]) -> HcallReturn {
        self.calls.fetch_add(1, Ordering::Relaxed);
        HcallReturn { status: (!self.takes.load(Ordering::Relaxed)).into(), out: [0; 4] }
    }
}

impl Clock for Busy {
    fn now(&self) -> u64 {
        if self.runs { self.turns.load(Ordering::Relaxed) } else { 7 }
    }
    fn frequency(&self) -> u64 {
        1_000_000
    }
    fn relax(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_terminal_that_is_always_busy_costs_its_timeout_once() {
    case!("HC-05", Drop);
    for runs in [true, false] {
        let machine = Busy { runs, ..Busy::default() };
        let calls = || machine.calls.load(Ordering::Relaxed);
        let terminal = Terminal::new();
        assert!(!terminal.write(&machine, b"first"));
        let before = calls();
        assert!(before <= 10_050_000, "{before}");
        for _ in 0..1000 {
            assert!(!terminal.write(&machine, &[b'x'; 1000]));
        }
        assert_eq!(calls(), before + 1000, "one try each");
        machine.takes.store(true, Ordering::Relaxed);
        assert!(terminal.write(&machine, b"taken again"));
    }
}

#[test]
fn a_missing_terminal_is_not_waited_for() {
    let machine = Model::new(false);
    machine.on_hcall(|_, _| Some(HcallReturn { status: -4, out: [0; 4] }));
    assert!(Terminal::new().write(&machine, b"nobody listens, and nobody waits"));
    assert_eq!(machine.hcalls().len(), 2);
}

#[test]
fn an_impossible_length_is_cut_to_sixteen_bytes() {
    case!("HC-03", Clamp);
    for len in [16, 17, 1 << 32, u64::MAX] {
        let machine = Model::new(false);
        let out = [len, 0x6162_6364_6566_6768, 0x696a_6b6c_6d6e_6f70, u64::MAX];
        let mut first = true;
        machine.on_hcall(move |_, _| {
            let answer = HcallReturn { status: 0, out: if first { out } else { [0; 4] } };
            first = false;
            Some(answer)
        });
        let terminal = Terminal::new();
        let typed: Vec<u8> = core::iter::from_fn(|| terminal.read(&machine)).collect();
        assert_eq!(typed, b"abcdefghijklmnop");
    }
}

#[test]
fn nothing_is_typed_when_the_call_fails() {
    case!("HC-01", Fail);
    let machine = Model::new(false);
    machine.on_hcall(|_, _| Some(HcallReturn { status: 0x7fff_ffff, out: [5, 1, 2, 3] }));
    assert_eq!(Terminal::new().read(&machine), None);
    let unknown = HcallReturn { status: 0x7fff_ffff, out: [0; 4] };
    assert_eq!(unknown.ok(), Err(HcallError::Unknown(0x7fff_ffff)));
}
