//! Windows on honest and failing hypervisors.

#![allow(unsafe_code, reason = "the model's devices reach no memory of this process")]

mod dynamic;
mod on_demand;
mod pool;
mod replaced;

use papr::addr::{Gpa, GpaRange};
use papr::clock::Clock;
use papr::hcall::{Hcall, HcallError, HcallReturn};
use papr::host_bridge::BadDmaWindow;
use papr::rtas::RtasError;
use postern_cases::case;
use std::string::ToString;
use std::vec::Vec;
use svm_dma::tce::{Ddw, DmaWindow, MapCause, PhbWindow, Route, TceError, TceFlags, WindowKind};
use svm_dma::tce::{Iova, OnDemand};
use testkit::model::{Model, POOL_BASE};

const POOL: GpaRange = GpaRange { start: POOL_BASE, len: 4 << 16 };
const PAGES: u64 = POOL.len >> 12;

fn window() -> DmaWindow {
    DmaWindow::new(Model::LIOBN, 0, 1 << 30).unwrap()
}

fn open(
    window: &OnDemand,
    model: &Model,
    gpa: Gpa,
    len: usize,
    flags: TceFlags,
) -> Result<(u64, Iova), TceError> {
    // SAFETY: the model's devices reach the model's memory alone.
    unsafe { window.open(model, gpa, len, flags) }
}

/// A secure guest's window, for a pool at [`POOL`].
fn for_pool(model: &Model, window: DmaWindow, dynamic: Option<&Ddw<'_>>) -> Result<PhbWindow, TceError> {
    // SAFETY: the pool is the model's memory, and its devices reach nothing else.
    unsafe { PhbWindow::for_pool(model, window, dynamic, POOL) }
}

/// A normal guest's window.
fn for_memory(
    model: &Model,
    window: DmaWindow,
    dynamic: Option<&Ddw<'_>>,
    ram: &[GpaRange],
) -> Result<PhbWindow, TceError> {
    // SAFETY: the model's devices reach the model's memory alone.
    unsafe { PhbWindow::for_memory(model, window, dynamic, ram) }
}

fn status(status: i64) -> Option<HcallReturn> {
    Some(HcallReturn { status, out: [0; 4] })
}

/// Fails the `nth` (from 0) call of one kind; clearing calls succeed unless `undo_fails`.
fn failing(call: Hcall, nth: u64, undo_fails: bool) -> Model {
    let model = Model::new(true);
    let mut seen = 0;
    let mut failed = false;
    model.on_hcall(move |made, _| {
        if failed && undo_fails && made == Hcall::StuffTce {
            return status(-1);
        }
        if made == call {
            seen += 1;
            if seen == nth + 1 {
                failed = true;
                return status(-1);
            }
        }
        None
    });
    model
}

#[test]
fn bus_address_zero_is_never_given_to_a_device() {
    let model = Model::new(true);
    let phb = for_pool(&model, window(), None).unwrap();
    assert!(matches!(phb.route(), Route::Pool { bus, .. } if *bus > 0));
    let model = Model::new(false);
    let phb = for_memory(&model, window(), None, &Model::ram()).unwrap();
    let Route::OnDemand(on_demand) = phb.route() else { panic!("{phb:?}") };
    assert!(open(on_demand, &model, Gpa(0), 4096, TceFlags::READ).unwrap().0 > 0);
}

#[test]
fn a_window_that_wraps_has_no_whole_page_or_is_too_large_to_clear_is_malformed() {
    for (base, size) in [
        (0, 0),
        (0, 4095),
        (0, 4097),
        (1, 4096),
        (u64::MAX - 4095, 4096),
        (0, u64::MAX),
        (1 << 63, 1 << 63),
        (0, 1 << 60),
    ] {
        assert_eq!(DmaWindow::new(1, base, size), Err(BadDmaWindow { liobn: 1, base, size }.into()));
    }
    assert!(DmaWindow::new(1, 0, 4096).is_ok());
}

/// The hypervisor reports that it cleared entries, and does not clear them.
fn stuff_does_nothing(model: &Model) {
    model.on_hcall(|call, _| if call == Hcall::StuffTce { status(0) } else { None });
}

#[test]
fn a_stale_entry_that_is_not_cleared_is_found_wherever_it_is_before_anything_is_mapped() {
    case!("TCE-08", Refuse);
    for page in [0, 1, 513, (1 << 18) - 1] {
        let model = Model::new(true);
        model.put_stale_tce(Model::LIOBN, page, 0x1003);
        stuff_does_nothing(&model);
        let found = TceError::StillMapped { ioba: page << 12, tce: 0x1003 };
        assert_eq!(for_pool(&model, window(), None).unwrap_err(), found);
        assert_eq!(for_memory(&model, window(), None, &Model::ram()).unwrap_err(), found);
        assert!(model.hcalls().iter().all(|(call, _)| *call != Hcall::PutTce));
        assert_eq!(window().exposed(&model, POOL), Ok(1));
    }
}

fn ddw(model: &Model) -> Ddw<'_> {
    Ddw { rtas: model, buid: 0x0800_0000_2000_0000, config_address: 0 }
}
