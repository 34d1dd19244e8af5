//! RTAS calls to a hostile firmware.

use papr::addr::Gpa;
use papr::hcall::{Hcall, HcallReturn};
use papr::platform::Platform;
use papr::rtas::{BLOCK_WORDS, RtasError};
use postern_cases::case;
use std::vec::Vec;
use testkit::model::{Model, ModelMemory};

/// Calls a service with 2 arguments and 3 returns; `host` may change the block as it likes.
fn ask(host: impl Fn(&Model, Gpa) + Send + 'static) -> (Result<(), RtasError>, [u32; 3]) {
    let machine = Model::new(false);
    let block = block(&machine);
    let inside = machine.clone();
    machine.on_hcall(move |call, args| {
        assert_eq!(call, Hcall::Rtas);
        host(&inside, Gpa(args[0]));
        // r3 stays unchanged, as in a secure VM.
        Some(HcallReturn { status: Hcall::Rtas as i64, out: [0; 4] })
    });
    let mut rets = [7; 3];
    let result = call(&machine, &block, 0x2005, &[1, 2], &mut rets);
    (result, rets)
}

/// [`papr::rtas::call`]; the services of these tests get no address, and the block is the test's.
#[allow(unsafe_code, reason = "the model's memory is its own")]
fn call(
    machine: &Model,
    block: &ModelMemory,
    token: u32,
    args: &[u32],
    rets: &mut [u32],
) -> Result<(), RtasError> {
    // SAFETY: the machine is a model, whose memory holds no Rust object.
    unsafe { papr::rtas::call(machine, block, token, args, rets) }
}

fn block(machine: &Model) -> ModelMemory {
    machine.allocate(BLOCK_WORDS * 4).unwrap()
}

fn poke(machine: &Model, block: Gpa, word: u64, value: u32) {
    machine.poke(Gpa(block.0 + 4 * word), &value.to_be_bytes());
}

#[test]
fn block_is_laid_out_as_the_architecture_says() {
    let (result, rets) = ask(|machine, block| {
        let bytes = machine.peek(block, 4 * 6);
        let words: Vec<u32> = bytes.chunks(4).map(|w| u32::from_be_bytes(w.try_into().unwrap())).collect();
        assert_eq!(words, [0x2005, 2, 4, 1, 2, 0x8000_0000]);
        for (word, value) in [(5, 0), (6, 11), (7, 12), (8, 13)] {
            poke(machine, block, word, value);
        }
    });
    assert_eq!((result, rets), (Ok(()), [11, 12, 13]));
}

#[test]
fn status_word_decides_and_not_r3() {
    case!("HC-11", Ignore);
    let (result, _) = ask(|machine, block| poke(machine, block, 5, 0));
    assert_eq!(result, Ok(()));
    for (status, error) in [
        (-1, RtasError::Hardware),
        (-2, RtasError::Busy(-2)),
        (9905, RtasError::Busy(9905)),
        (-3, RtasError::Parameter),
        (-9002, RtasError::NotAuthorized),
        (1, RtasError::Unknown(1)),
        (i32::MAX, RtasError::Unknown(i32::MAX)),
    ] {
        let (result, rets) = ask(move |machine, block| poke(machine, block, 5, status as u32));
        assert_eq!((result, rets), (Err(error), [7; 3]));
    }
    let (result, _) = ask(|_, _| ());
    assert_eq!(result, Err(RtasError::Unknown(i32::MIN)), "no status was written");
}

#[test]
fn counts_that_the_host_rewrites_change_nothing() {
    case!("HC-06", Ignore);
    for count in [0, 1, 0xffff_ffff] {
        let (result, rets) = ask(move |machine, block| {
            let all: Vec<u8> = (0..BLOCK_WORDS as u32).flat_map(|n| (100 + n).to_be_bytes()).collect();
            machine.poke(block, &all);
            for word in [1, 2] {
                poke(machine, block, word, count);
            }
            poke(machine, block, 5, 0);
        });
        assert_eq!((result, rets), (Ok(()), [106, 107, 108]));
    }
}

#[test]
fn too_many_words_are_refused_without_a_call() {
    case!("RTA-05", Fail);
    let machine = Model::new(false);
    let block = block(&machine);
    let refused = |words| Err(RtasError::TooManyWords(words));
    assert_eq!(call(&machine, &block, 1, &[0; 9], &mut []), refused(10));
    assert_eq!(call(&machine, &block, 1, &[], &mut [0; 9]), refused(10));
    assert_eq!(call(&machine, &block, 1, &[0; 8], &mut [0; 8]), refused(17));
    assert!(machine.hcalls().is_empty());
    call(&machine, &block, 1, &[0; 8], &mut [0; 7]).unwrap_err();
    assert_eq!(machine.hcalls().len(), 1);
}

#[test]
fn interrupt_sources_and_servers_have_24_bits() {
    case!("RTA-04", Fail);
    assert_eq!(papr::rtas::xics_number(0xff_ffff), Ok(0xff_ffff));
    for number in [0x0100_0000, u32::MAX] {
        assert_eq!(papr::rtas::xics_number(number), Err(RtasError::NoSuchNumber(number)));
    }
}
