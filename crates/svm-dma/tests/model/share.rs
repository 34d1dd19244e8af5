//! Sharing against ultravisors that fail, report success without effect, or stay busy.

use papr::addr::{FRAME_SIZE, Gfn, Gpa, GpaRange};
use papr::clock::Clock;
use papr::platform::DeviceMemory;
use papr::ultracall::{Ultracall, UvStatus};
use postern_cases::case;
use std::collections::BTreeSet;
use std::string::ToString;
use std::vec;
use svm_dma::share::{MOST_CALLS, ShareError, share_pool};
use testkit::model::{Model, POOL_BASE, UvBehaviour};
use testkit::unchecked::frames;

const FRAMES: usize = 4;
const OPCODE: i64 = 0xf130;

fn gfn(index: u64) -> u64 {
    (POOL_BASE.0 >> 16) + index
}

/// The error of `share_pool` with an ultravisor that does nothing and returns `r3`, and the number of calls.
fn error_of(r3: i64) -> (ShareError, usize) {
    let model = Model::new(true);
    model.on_ultracall(move |_, _| Some(r3));
    let failure = model.try_share(&model, FRAMES).unwrap_err();
    assert!(failure.quarantined.is_some(), "after a call the range is in doubt");
    assert_eq!(failure.ultracalls as usize, model.ultracalls().len());
    (failure.error, model.ultracalls().len())
}

#[test]
fn one_call_shares_exactly_the_pool_in_64_kib_frames_whichever_way_success_is_reported() {
    case!("UV-16", Work);
    case!("UV-18", Work);
    for behaviour in [UvBehaviour::Published, UvBehaviour::Documented] {
        let model = Model::new(true);
        model.set_behaviour(behaviour);
        let pool = model.try_share(&model, FRAMES).unwrap();
        assert_eq!(model.ultracalls(), [(Ultracall::SharePage, [gfn(0), FRAMES as u64])]);
        assert_eq!(model.shared_frames(), [gfn(0), gfn(1), gfn(2), gfn(3)]);
        assert_eq!((pool.frames(), pool.ultracalls()), (4, 1));
        assert_eq!(pool.range(), GpaRange { start: POOL_BASE, len: (FRAMES * FRAME_SIZE) as u64 });
        assert!(model.peek(POOL_BASE, FRAMES * FRAME_SIZE).iter().all(|byte| *byte == 0));
    }
}

#[test]
fn memory_beside_the_pool_is_not_touched() {
    let model = Model::new(true);
    let (before, after) = (Gpa(POOL_BASE.0 - 8), Gpa(POOL_BASE.0 + (FRAMES * FRAME_SIZE) as u64));
    model.poke(before, &[0x11; 8]);
    model.poke(after, &[0x22; 8]);
    model.try_share(&model, FRAMES).unwrap();
    assert_eq!(model.peek(before, 8), [0x11; 8]);
    assert_eq!(model.peek(after, 8), [0x22; 8]);
}

#[test]
fn every_error_code_ends_after_one_call_with_its_name() {
    case!("UV-01", Quarantine);
    for (r3, status) in [
        (3, UvStatus::NotAvailable),
        (-4, UvStatus::Parameter),
        (-6, UvStatus::Hardware),
        (-7, UvStatus::Unsupported),
        (-14, UvStatus::WrongState),
        (-55, UvStatus::BadArgument(2)),
        (-58, UvStatus::BadArgument(5)),
        (-59, UvStatus::BadMode),
        (-75, UvStatus::State),
        (0xf134, UvStatus::Unknown(0xf134)),
        (i64::MAX, UvStatus::Unknown(i64::MAX)),
    ] {
        assert_eq!(error_of(r3), (ShareError::Refused(status), 1));
        assert!(error_of(r3).0.another_range_may_do());
    }
}

#[test]
fn no_ultravisor_and_not_secure_are_told_apart_and_no_other_range_can_help() {
    case!("UV-04", Halt);
    case!("UV-17", Halt);
    assert_eq!(error_of(-2), (ShareError::NoUltravisor, 1));
    assert_eq!(error_of(-11), (ShareError::NotSecure, 1));
    assert!(!ShareError::NoUltravisor.another_range_may_do());
    assert!(!ShareError::NotSecure.another_range_may_do());
}

#[test]
fn a_busy_ultravisor_is_asked_again() {
    for busy in [-5, 1] {
        let model = Model::new(true);
        let mut left = 3;
        model.on_ultracall(move |_, _| {
            left -= 1;
            (left >= 0).then_some(busy)
        });
        let pool = model.try_share(&model, FRAMES).unwrap();
        assert_eq!(pool.ultracalls(), 4);
    }
}

#[test]
fn an_ultravisor_that_is_busy_for_ever_is_given_up_after_bounded_time_and_calls() {
    case!("UV-02", Retry);
    assert_eq!(error_of(-5), (ShareError::StillBusy(UvStatus::Retry, MOST_CALLS), MOST_CALLS as usize));
    let model = Model::new(true);
    model.on_ultracall(|_, _| Some(-5));
    let _ = model.try_share(&model, 1).unwrap_err();
    assert!(model.now() / model.frequency() <= 3, "{} s", model.now() / model.frequency());
}

#[test]
fn a_clock_that_stands_still_does_not_make_the_retries_endless() {
    case!("UV-02", Retry);
    case!("IRQ-06", Work);
    struct Stalled;
    impl Clock for Stalled {
        fn now(&self) -> u64 {
            0
        }
        fn frequency(&self) -> u64 {
            512_000_000
        }
    }
    let model = Model::new(true);
    model.on_ultracall(|_, _| Some(-5));
    let failure = model.try_share(&Stalled, 1).unwrap_err();
    assert_eq!(failure.error, ShareError::StillBusy(UvStatus::Retry, MOST_CALLS));
}

#[test]
fn a_share_without_effect_is_found_and_the_range_quarantined() {
    case!("UV-16", Quarantine);
    for r3 in [0, OPCODE] {
        assert_eq!(error_of(r3), (ShareError::PatternIntact(Gfn(gfn(0))), 1));
    }
}

#[test]
fn a_share_of_a_part_of_the_range_is_noticed() {
    let model = Model::new(true);
    let inner = model.clone();
    model.on_ultracall(move |_, _| {
        inner.poke(POOL_BASE, &vec![0; 2 * FRAME_SIZE]);
        Some(OPCODE)
    });
    let failure = model.try_share(&model, FRAMES).unwrap_err();
    assert_eq!(failure.error, ShareError::PatternIntact(Gfn(gfn(2))));
}

#[test]
fn a_frame_that_is_zeroed_but_for_its_last_byte_is_noticed() {
    let model = Model::new(true);
    let inner = model.clone();
    model.on_ultracall(move |_, _| {
        inner.poke(POOL_BASE, &vec![0; FRAMES * FRAME_SIZE - 1]);
        Some(0)
    });
    let failure = model.try_share(&model, FRAMES).unwrap_err();
    assert_eq!(failure.error, ShareError::NotZeroed(Gfn(gfn(3)), FRAME_SIZE - 1));
    let range = failure.quarantined.as_ref().map(svm_dma::share::Quarantined::range).unwrap();
    assert_eq!((range.start, range.len), (POOL_BASE, (FRAMES * FRAME_SIZE) as u64));
    assert!(failure.to_string().contains("quarantined"));
}

#[test]
fn one_byte_that_was_not_zeroed_is_found_wherever_it_is() {
    let (near, chunk) = (0..24, 4096);
    let places = near.clone().chain((1..9).map(|n| n * 128 - 1)).chain((1..9).map(|n| n * 128));
    let places = places.chain(near.map(|n| chunk - 1 - n)).chain([chunk, FRAME_SIZE - chunk, FRAME_SIZE - 1]);
    for place in places {
        for value in [0x01, 0x80, 0xa5] {
            let model = Model::new(true);
            let inner = model.clone();
            model.on_ultracall(move |_, _| {
                inner.poke(POOL_BASE, &vec![0; 2 * FRAME_SIZE]);
                inner.poke(Gpa(POOL_BASE.0 + (FRAME_SIZE + place) as u64), &[value]);
                Some(OPCODE)
            });
            let failure = model.try_share(&model, 2).unwrap_err();
            assert_eq!(failure.error, ShareError::NotZeroed(Gfn(gfn(1)), place), "{value:#x}");
            // Ends the cycle of references between model and hook: 32-bit machines have no room for so many models.
            model.on_ultracall(|_, _| None);
        }
    }
}

#[test]
fn the_pattern_has_no_zero_byte_and_differs_from_place_to_place() {
    let model = Model::new(true);
    let inner = model.clone();
    model.on_ultracall(move |_, _| {
        let pool = inner.peek(POOL_BASE, FRAMES * FRAME_SIZE);
        assert_eq!(pool.iter().position(|byte| *byte == 0), None);
        let chunks: BTreeSet<_> = pool.chunks(4096).collect();
        assert_eq!(chunks.len(), FRAMES * FRAME_SIZE / 4096);
        None
    });
    model.try_share(&model, FRAMES).unwrap();
    assert_eq!(model.ultracalls().len(), 1);
}

#[test]
fn the_pattern_of_another_place_is_not_an_intact_one() {
    let model = Model::new(true);
    let inner = model.clone();
    model.on_ultracall(move |_, _| {
        let second = inner.peek(Gpa(POOL_BASE.0 + FRAME_SIZE as u64), FRAME_SIZE);
        inner.poke(POOL_BASE, &second);
        Some(OPCODE)
    });
    let failure = model.try_share(&model, FRAMES).unwrap_err();
    assert_eq!(failure.error, ShareError::NotZeroed(Gfn(gfn(0)), 0));
}

#[test]
fn a_range_that_cannot_be_shared_costs_no_call_and_stays_untouched() {
    case!("UV-08", Fail);
    case!("UV-09", Fail);
    let model = Model::new(true);
    let whole = model.pool_memory(FRAMES);
    let len = FRAMES * FRAME_SIZE;
    let elsewhere = [GpaRange { start: Gpa(0), len: POOL_BASE.0 + len as u64 - 1 }];
    for (memory, ram, error) in [
        (
            whole.part(4096, FRAME_SIZE).unwrap(),
            &Model::ram(),
            ShareError::Misaligned(Gpa(POOL_BASE.0 + 4096)),
        ),
        (
            whole.part(0, FRAME_SIZE + 4096).unwrap(),
            &Model::ram(),
            ShareError::NotWholeFrames(FRAME_SIZE + 4096),
        ),
        (whole.part(0, 0).unwrap(), &Model::ram(), ShareError::NotWholeFrames(0)),
        (
            whole.clone(),
            &elsewhere,
            ShareError::OutsideMemory(GpaRange { start: POOL_BASE, len: len as u64 }),
        ),
    ] {
        model.poke(POOL_BASE, &[0x77; 16]);
        let frames = frames(GpaRange { start: memory.gpa(), len: memory.len() as u64 });
        let failure = share_pool(&model, &model, frames, ram, |_| memory).unwrap_err();
        assert_eq!(failure.error, error);
        assert!(failure.quarantined.is_none());
        assert_eq!(model.peek(POOL_BASE, 16), [0x77; 16]);
    }
    assert!(model.ultracalls().is_empty());
}

#[test]
fn memory_other_than_the_given_frames_is_not_shared() {
    let model = Model::new(true);
    let (frame, len) = (FRAME_SIZE as u64, FRAMES * FRAME_SIZE);
    for start in [POOL_BASE.0 - frame, POOL_BASE.0 + frame] {
        for memory in
            [model.pool_memory(FRAMES), model.pool_memory(FRAMES - 1), model.pool_memory(FRAMES + 1)]
        {
            let frames = frames(GpaRange { start: Gpa(start), len: len as u64 });
            let made = GpaRange { start: POOL_BASE, len: memory.len() as u64 };
            let failure = share_pool(&model, &model, frames, &Model::ram(), |_| memory).unwrap_err();
            assert_eq!(failure.error, ShareError::OtherMemory(made));
        }
    }
    let frames = frames(GpaRange { start: POOL_BASE, len: len as u64 });
    let smaller = share_pool(&model, &model, frames, &Model::ram(), |_| model.pool_memory(FRAMES - 1));
    assert!(matches!(smaller.unwrap_err().error, ShareError::OtherMemory(_)));
    assert!(model.ultracalls().is_empty());
}
