//! Memory with holes, and ultravisors that report success for calls without effect.

use super::{AcceptError, BATCH, PUBLIC, Proof, Unproved, accept};
use crate::share::ShareError;
use papr::addr::{FRAME_SIZE, Gfn, Gpa, GpaRange};
use papr::clock::Clock;
use papr::platform::Ultravisor;
use papr::ultracall::{Ultracall, UvStatus};
use postern_cases::case;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

const FRAME: u64 = FRAME_SIZE as u64;

/// The ultravisor's faults.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// Shares nothing and answers success.
    share: bool,
    /// Takes nothing back and answers success.
    unshare: bool,
    /// Does not zero what it shares.
    zero: bool,
    /// Answers this.
    r3: Option<i64>,
}

/// Memory by its frames' first words, and an ultravisor that follows the published source.
#[derive(Default)]
struct Vm {
    words: RefCell<BTreeMap<u64, [u64; 2]>>,
    /// Frames outside the VM's memory slots. What is written there is the host's.
    holes: BTreeSet<u64>,
    shared: RefCell<BTreeSet<u64>>,
    /// Every word that the host could see.
    seen: RefCell<Vec<[u64; 2]>>,
    calls: RefCell<Vec<(Ultracall, [u64; 2])>>,
    faults: Cell<Faults>,
}

struct Run<'a>(&'a Vm, GpaRange);

// SAFETY: the frames are numbers of a model, and what is zeroed are words of its map.
unsafe impl Unproved for Run<'_> {
    fn range(&self) -> GpaRange {
        self.1
    }

    fn put(&self, offset: usize, word: [u64; 2]) {
        assert!(offset.is_multiple_of(16) && (offset as u64) < self.1.len);
        let gfn = (self.1.start.0 + offset as u64) / FRAME;
        self.0.words.borrow_mut().insert(gfn, word);
        if self.0.holes.contains(&gfn) || self.0.shared.borrow().contains(&gfn) {
            self.0.seen.borrow_mut().push(word);
        }
    }

    fn get(&self, offset: usize) -> [u64; 2] {
        let gfn = (self.1.start.0 + offset as u64) / FRAME;
        self.0.words.borrow().get(&gfn).copied().unwrap_or([0; 2])
    }
}

impl Ultravisor for Vm {
    unsafe fn ultracall(&self, call: Ultracall, args: [u64; 2]) -> i64 {
        self.calls.borrow_mut().push((call, args));
        let faults = self.faults.get();
        if let Some(r3) = faults.r3 {
            return r3;
        }
        let frames = args[0]..args[0] + args[1];
        // A range that is not all in slots: U_P2, which never reaches r3.
        if frames.clone().any(|gfn| self.holes.contains(&gfn)) {
            return call as i64;
        }
        let mut shared = self.shared.borrow_mut();
        for gfn in frames {
            let changed = match call {
                Ultracall::SharePage => !faults.share && shared.insert(gfn),
                Ultracall::UnsharePage => !faults.unshare && shared.remove(&gfn),
                other => panic!("{other:?}"),
            };
            if changed && !faults.zero {
                self.words.borrow_mut().remove(&gfn);
            }
        }
        call as i64
    }
}

impl Clock for Vm {
    fn now(&self) -> u64 {
        0
    }
    fn frequency(&self) -> u64 {
        512_000_000
    }
}

fn run(vm: &Vm, first: u64, frames: u64) -> Run<'_> {
    Run(vm, GpaRange::new(Gpa(first * FRAME), frames * FRAME).unwrap())
}

fn prove(vm: &Vm, memory: &Run) -> Result<Proof, AcceptError> {
    accept(vm, vm, memory)
}

fn error_with(faults: Faults) -> (Vm, AcceptError) {
    let vm = Vm { faults: Cell::new(faults), ..Vm::default() };
    let error = prove(&vm, &run(&vm, 8, 4)).unwrap_err();
    (vm, error)
}

#[test]
fn one_pair_of_calls_proves_a_run_and_leaves_it_private_and_zeroed() {
    case!("MEM-07", Work);
    let vm = Vm::default();
    let proof = prove(&vm, &run(&vm, 8, 4)).unwrap();
    assert_eq!(proof.calls, 2);
    assert_eq!(*vm.calls.borrow(), [(Ultracall::SharePage, [8, 4]), (Ultracall::UnsharePage, [8, 4])]);
    assert!(vm.shared.borrow().is_empty() && vm.words.borrow().is_empty());
}

#[test]
fn a_long_run_is_proved_in_batches_that_follow_each_other() {
    let vm = Vm::default();
    let batch = (BATCH / FRAME_SIZE) as u64;
    assert_eq!(prove(&vm, &run(&vm, 3, 2 * batch + 1)).unwrap().calls, 6);
    let calls: Vec<[u64; 2]> = vm.calls.borrow().iter().map(|(_, args)| *args).collect();
    let pairs = [[3, batch], [3 + batch, batch], [3 + 2 * batch, 1]];
    assert_eq!(calls, pairs.iter().flat_map(|args| [*args; 2]).collect::<Vec<_>>());
}

#[test]
fn mem_07_a_share_without_effect_is_no_proof() {
    case!("MEM-07", Quarantine);
    for r3 in [None, Some(0), Some(0xf130)] {
        let (_, error) = error_with(Faults { share: true, r3, ..Faults::default() });
        assert_eq!(error, AcceptError::Share(ShareError::PatternIntact(Gfn(8))));
    }
}

#[test]
fn mem_08_an_unshare_without_effect_is_found() {
    case!("MEM-08", Quarantine);
    let (vm, error) = error_with(Faults { unshare: true, ..Faults::default() });
    assert_eq!(error, AcceptError::Unshare(ShareError::PatternIntact(Gfn(8))));
    assert!(vm.shared.borrow().contains(&8));
    assert_eq!(std::format!("{error}"), "frame 0x8 may still be shared: UV_UNSHARE_PAGE changed nothing");
}

#[test]
fn mem_07_a_frame_that_is_not_zeroed_is_no_proof() {
    case!("MEM-07", Quarantine);
    let (_, error) = error_with(Faults { zero: true, ..Faults::default() });
    assert_eq!(error, AcceptError::Share(ShareError::PatternIntact(Gfn(8))));
}

#[test]
fn a_refusal_is_named_and_another_run_is_tried_unless_there_is_no_ultravisor() {
    let refused = |r3| error_with(Faults { r3: Some(r3), ..Faults::default() }).1;
    assert_eq!(refused(-55), AcceptError::Share(ShareError::Refused(UvStatus::BadArgument(2))));
    assert!(refused(-55).another_run_may_do());
    assert!(!refused(-2).another_run_may_do() && !refused(-11).another_run_may_do());
}

#[test]
fn a_range_that_is_not_whole_frames_costs_no_call() {
    let vm = Vm::default();
    for (start, len) in [(1, FRAME), (0, 0), (FRAME, FRAME + 1)] {
        prove(&vm, &Run(&vm, GpaRange::new(Gpa(start), len).unwrap())).unwrap_err();
    }
    assert!(vm.calls.borrow().is_empty() && vm.words.borrow().is_empty());
}

proptest! {
    /// Proves run after run: each proved run is the VM's, whatever the holes and the ultravisor's faults.
    #[test]
    fn mem_07_no_frame_outside_the_slots_is_ever_proved_and_only_public_words_get_there(
        holes in proptest::collection::btree_set(0..400_u64, 0..12),
        runs in proptest::collection::vec(1..300_u64, 1..8),
        share in any::<bool>(),
        unshare in any::<bool>(),
    ) {
        case!("MEM-07", Quarantine);
        let vm = Vm { holes, faults: Cell::new(Faults { share, unshare, ..Faults::default() }), ..Vm::default() };
        let mut at = 0;
        for frames in runs {
            let range = at..at + frames;
            let proved = prove(&vm, &run(&vm, at, frames));
            let sound = !share && !unshare && range.clone().all(|gfn| !vm.holes.contains(&gfn));
            prop_assert_eq!(proved.is_ok(), sound);
            if proved.is_ok() {
                prop_assert!(range.clone().all(|gfn| !vm.shared.borrow().contains(&gfn)));
            }
            at = range.end;
        }
        for [first, gfn] in vm.seen.borrow().iter() {
            prop_assert!(*first == PUBLIC && *gfn < at);
        }
    }
}
