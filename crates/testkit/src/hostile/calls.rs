//! A hypervisor, an ultravisor and a firmware with arbitrary answers.

use super::script::Script;
use crate::model::{Model, POOL_BASE};
use crate::unchecked::LetGo;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use papr::addr::GpaRange;
use papr::hcall::HcallReturn;
use papr::platform::DeviceMemory;
use papr::rtas::{self, BLOCK_WORDS};
use papr::terminal::Terminal;
use std::sync::{Mutex, PoisonError};
use svm_dma::dma::{DeviceId, DmaSystem};
use svm_dma::tce::{Ddw, DmaWindow, PhbWindow};

/// Bytes for the answers to several calls.
#[derive(Clone)]
struct Answers(Arc<Mutex<Vec<u8>>>);

impl Answers {
    fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(bytes.iter().rev().copied().collect())))
    }

    fn with<R>(&self, ask: impl FnOnce(&mut Script<'_>) -> R) -> R {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let few: Vec<u8> = left.iter().rev().take(64).copied().collect();
        let mut script = Script::new(&few);
        let answer = ask(&mut script);
        let mut used = few.len();
        while !script.is_over() {
            script.byte();
            used -= 1;
        }
        let keep = left.len() - used;
        left.truncate(keep);
        answer
    }
}

/// A status: one that calls have, or anything.
fn status(script: &mut Script<'_>) -> i64 {
    const KNOWN: [i64; 16] = [0, 1, 2, 3, 9900, 9905, -1, -2, -3, -4, -5, -7, -11, -55, -58, 0xf130];
    match script.byte() {
        known @ 0..=239 => KNOWN[usize::from(known % 16)],
        _ => script.u64() as i64,
    }
}

/// Makes the calls of a boot. See [`crate::hostile`].
pub fn calls(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mode = script.byte();
    let secure = mode & 1 != 0;
    let machine = Model::new(secure);
    if mode & 2 != 0 {
        machine.offer_dynamic_windows();
    }
    let answers = Answers::new(script.take(usize::MAX));
    hook(&machine, &answers);
    if secure {
        pool(&machine);
    } else {
        window(&machine);
    }
    firmware(&machine);
    terminal(&machine);
}

fn hook(machine: &Model, answers: &Answers) {
    let hcalls = answers.clone();
    machine.on_hcall(move |_, _| {
        hcalls.with(|script| {
            if script.byte() < 200 {
                return None;
            }
            let out = [script.number(), script.number(), script.number(), script.number()];
            Some(HcallReturn { status: status(script), out })
        })
    });
    let ultracalls = answers.clone();
    machine.on_ultracall(move |_, _| {
        ultracalls.with(|script| if script.byte() < 128 { None } else { Some(status(script)) })
    });
    let services = answers.clone();
    machine.on_rtas(move |_, _, rets| {
        services.with(|script| {
            if script.byte() < 128 {
                return None;
            }
            for ret in rets.iter_mut() {
                *ret = script.number() as u32;
            }
            Some(rtas::judge(status(script) as i32))
        })
    });
}

/// A pool is shared in full, or its range is in doubt; a window maps all of it, or nothing.
fn pool(machine: &Model) {
    let range = GpaRange { start: POOL_BASE, len: 2 << 16 };
    match machine.try_share(machine, 2) {
        Ok(pool) => {
            assert_eq!(pool.range(), range);
            assert_eq!(machine.shared_frames(), [0x80, 0x81], "the pool counts as shared, and is not");
        }
        Err(failure) => {
            let doubt = failure.quarantined.map(|quarantined| quarantined.range());
            assert!(machine.shared_frames().is_empty() || doubt == Some(range));
            return;
        }
    }
    let Ok(window) = DmaWindow::new(Model::LIOBN, 0, 4 << 16) else { return };
    let ddw = Ddw { rtas: machine, buid: 1, config_address: 0 };
    for dynamic in [None, Some(&ddw)] {
        // SAFETY: the pool is the model's memory, and its devices reach nothing else.
        #[allow(unsafe_code, reason = "the model's memory is its own")]
        let opened = unsafe { PhbWindow::for_pool(machine, window, dynamic, range) };
        if let Ok(window) = opened {
            let report = window.report();
            assert_eq!(report.pages_mapped << report.page_shift, range.len);
        }
    }
}

fn window(machine: &Model) {
    let Ok(window) = DmaWindow::new(Model::LIOBN, 0, 4 << 16) else { return };
    let ddw = Ddw { rtas: machine, buid: 1, config_address: 0 };
    // SAFETY: the model's devices reach the model's memory alone.
    #[allow(unsafe_code, reason = "the model's memory is its own")]
    let system = unsafe { DmaSystem::normal(Arc::new(machine.clone())) };
    let Ok(bridge) = system.bridge(window, Some(&ddw), &Model::ram()) else { return };
    let Ok(dma) = system.device(DeviceId::from_routing(0, 8), true, Some(&bridge)) else { return };
    for _ in 1..4 {
        if let Ok(mapping) = dma.map_to_device(vec![0; 5000]) {
            dma.unmapped(mapping);
        }
    }
}

fn firmware(machine: &Model) {
    let Some(block) = machine.pool_memory(3).part(2 << 16, BLOCK_WORDS * 4) else { return };
    for words in 0..=9 {
        let mut rets = [0; 9];
        #[allow(unsafe_code, reason = "the model's memory is its own")]
        // SAFETY: the machine is a model, whose memory holds no Rust object.
        let _ = unsafe { rtas::call(machine, &block, 1, &[7; 9][..words], &mut rets[..words]) };
    }
}

fn terminal(machine: &Model) {
    let terminal = Terminal::new();
    let mut typed = 0;
    for _ in 0..8 {
        terminal.write(machine, b"a line of some length, in several calls");
        while terminal.read(machine).is_some() && typed < 10_000 {
            typed += 1;
        }
    }
    assert!(typed < 10_000, "typed without end");
}
