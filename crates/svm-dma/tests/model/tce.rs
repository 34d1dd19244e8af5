//! Windows on honest and failing hypervisors.

#![allow(unsafe_code, reason = "the model's devices reach no memory of this process")]

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
fn a_secure_window_maps_every_page_of_the_pool_and_nothing_else() {
    case!("TCE-06", Ignore);
    let model = Model::new(true);
    // What firmware left behind, inside and outside of where the pool will be mapped.
    model.put_stale_tce(Model::LIOBN, 3, 0x1003);
    model.put_stale_tce(Model::LIOBN, (1 << 18) - 1, 0x2003);
    let phb = for_pool(&model, window(), None).unwrap();
    let expected: Vec<(u64, u64)> =
        (0..PAGES).map(|page| ((page + 1) << 12, (POOL.start.0 + (page << 12)) | 3)).collect();
    assert_eq!(model.tces(Model::LIOBN), expected);
    assert_eq!(phb.report().pages_mapped, PAGES);
    assert_eq!(phb.report().kind, WindowKind::Pool);
    assert!(matches!(phb.route(), Route::Pool { gpa, bus: 0x1000 } if *gpa == POOL));
    // Every entry goes in a register: no list page that would have to be shared.
    for (call, args) in model.hcalls() {
        assert!(matches!(call, Hcall::PutTce | Hcall::GetTce | Hcall::StuffTce), "{call:?}");
        assert!(call != Hcall::StuffTce || args[3] <= 512);
    }
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
fn an_entry_outside_the_pool_is_counted_wherever_it_is_in_the_window() {
    let model = Model::new(true);
    let window = window();
    let pool = for_pool(&model, window, None);
    assert!(pool.is_ok());
    assert_eq!(window.exposed(&model, POOL), Ok(0));
    let last = (window.size() >> 12) - 1;
    model.put_stale_tce(Model::LIOBN, 0, 0x1001);
    model.put_stale_tce(Model::LIOBN, last, (POOL.start.0 - 0x1000) | 2);
    // Inside the pool, and without a right: nothing is exposed by these.
    model.put_stale_tce(Model::LIOBN, last - 1, POOL.start.0 | 3);
    model.put_stale_tce(Model::LIOBN, last - 2, 0x5000);
    assert_eq!(window.exposed(&model, POOL), Ok(2));
    window.clear(&model).unwrap();
    assert_eq!(model.tces(Model::LIOBN), []);
}

#[test]
fn a_window_that_does_not_start_at_zero_is_honoured() {
    let model = Model::new(true);
    let window = DmaWindow::new(Model::LIOBN, 1 << 28, 1 << 28).unwrap();
    let phb = for_pool(&model, window, None).unwrap();
    assert_eq!(model.tces(Model::LIOBN)[0], (1 << 28, POOL.start.0 | 3));
    assert!(matches!(phb.route(), Route::Pool { bus, .. } if *bus == 1 << 28));
}

#[test]
fn a_put_that_fails_at_any_page_leaves_nothing_mapped() {
    case!("TCE-01", Refuse);
    for page in [0, 1, PAGES / 2, PAGES - 1] {
        let model = failing(Hcall::PutTce, page, false);
        let error = for_pool(&model, window(), None).unwrap_err();
        let cause = MapCause::Put(HcallError::Hardware);
        assert_eq!(error, TceError::NotMapped { ioba: (page + 1) << 12, cause, undone: true });
        assert_eq!(model.tces(Model::LIOBN), []);
    }
}

#[test]
fn a_check_that_fails_at_any_page_leaves_nothing_mapped() {
    for page in [0, 1, PAGES / 2, PAGES - 1] {
        let model = failing(Hcall::GetTce, window().pages() + page, false);
        let error = for_pool(&model, window(), None).unwrap_err();
        let cause = MapCause::Get(HcallError::Hardware);
        assert_eq!(error, TceError::NotMapped { ioba: (page + 1) << 12, cause, undone: true });
        assert_eq!(model.tces(Model::LIOBN), []);
    }
}

#[test]
fn an_entry_that_reads_back_otherwise_than_it_was_put_is_refused() {
    case!("HC-10", Refuse);
    let model = Model::new(true);
    let mut put = false;
    model.on_hcall(move |call, args| {
        put |= call == Hcall::PutTce;
        let lie = put && call == Hcall::GetTce && args[1] == 6 << 12;
        lie.then_some(HcallReturn { status: 0, out: [0x1234_5003, 0, 0, 0] })
    });
    let error = for_pool(&model, window(), None).unwrap_err();
    let cause = MapCause::Differs { put: (POOL.start.0 + (5 << 12)) | 3, got: 0x1234_5003 };
    // Nor does the entry read as cleared afterwards.
    assert_eq!(error, TceError::NotMapped { ioba: 6 << 12, cause, undone: false });
    assert_eq!(model.tces(Model::LIOBN), []);
}

#[test]
fn an_undo_that_fails_is_said() {
    let model = failing(Hcall::PutTce, 7, true);
    let error = for_pool(&model, window(), None).unwrap_err();
    assert!(matches!(error, TceError::NotMapped { undone: false, .. }));
    assert!(error.to_string().contains("could not be undone"));
}

#[test]
fn a_window_that_cannot_be_cleared_is_not_used() {
    let model = failing(Hcall::StuffTce, 2, false);
    let error = for_pool(&model, window(), None).unwrap_err();
    let ioba = (2 * 512) << 12;
    assert_eq!(error, TceError::NotCleared { ioba, error: HcallError::Hardware });
    assert_eq!(model.tces(Model::LIOBN), []);
}

#[test]
fn a_window_smaller_than_the_pool_is_refused_with_both_sizes() {
    case!("TCE-03", Refuse);
    let model = Model::new(true);
    let small = DmaWindow::new(Model::LIOBN, 0, POOL.len - 4096).unwrap();
    let error = for_pool(&model, small, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "TCE window of 253952 bytes is smaller than the pool of 262144 bytes; \
         the largest that it has room for is pool=192K"
    );
    assert_eq!(model.hcalls(), []);
}

#[test]
fn a_window_that_wraps_has_no_whole_page_or_would_take_for_ever_to_clear_is_malformed() {
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

#[test]
fn a_busy_hypervisor_is_asked_again_and_not_for_ever() {
    case!("HC-02", Retry);
    let model = Model::new(true);
    let mut left = 3;
    model.on_hcall(move |call, _| {
        left -= i32::from(call == Hcall::PutTce);
        (call == Hcall::PutTce && left >= 0).then_some(HcallReturn { status: 9900, out: [0; 4] })
    });
    assert!(for_pool(&model, window(), None).is_ok());

    let model = Model::new(true);
    model.on_hcall(|call, _| if call == Hcall::PutTce { status(1) } else { None });
    let error = for_pool(&model, window(), None).unwrap_err();
    assert!(matches!(error, TceError::NotMapped { cause: MapCause::Put(HcallError::Busy(1)), .. }));
    assert!(model.now() <= model.frequency(), "given up within a second");
}

#[test]
fn a_normal_window_maps_a_buffer_only_while_it_is_lent_and_only_its_pages() {
    let model = Model::new(false);
    let phb = for_memory(&model, window(), None, &Model::ram()).unwrap();
    let Route::OnDemand(on_demand) = phb.route() else { panic!("{phb:?}") };
    let (bus, iova) = open(on_demand, &model, Gpa(0x20_0ff0), 0x1020, TceFlags::READ).unwrap();
    assert_eq!(bus & 0xfff, 0xff0);
    let page = bus & !0xfff;
    let expected = [(page, 0x20_0001), (page + 0x1000, 0x20_1001), (page + 0x2000, 0x20_2001)];
    assert_eq!(model.tces(Model::LIOBN), expected);
    on_demand.close(&model, &iova).unwrap();
    assert_eq!(model.tces(Model::LIOBN), []);
    on_demand.reuse(&model, iova);
}

#[test]
fn an_on_demand_window_that_is_full_says_so_and_serves_again_when_pages_come_back() {
    let model = Model::new(false);
    let window = DmaWindow::new(Model::LIOBN, 0x10_0000, 70 << 12).unwrap();
    let phb = for_memory(&model, window, None, &Model::ram()).unwrap();
    let Route::OnDemand(on_demand) = phb.route() else { panic!("{phb:?}") };
    let mut held = Vec::new();
    for page in 0..70 {
        let (bus, iova) = open(on_demand, &model, Gpa(page << 12), 4096, TceFlags::WRITE).unwrap();
        assert_eq!(bus, 0x10_0000 + (page << 12));
        held.push(iova);
    }
    let full = open(on_demand, &model, Gpa(0), 1, TceFlags::WRITE).unwrap_err();
    assert_eq!(full, TceError::NoRoom { pages: 1, free: 0 });
    // Two pages that are not neighbours do not make room for two in a row; two neighbours across a word do.
    for index in [65, 63, 30] {
        on_demand.reuse(&model, held.remove(index));
    }
    let split = open(on_demand, &model, Gpa(0), 2 << 12, TceFlags::WRITE).unwrap_err();
    assert_eq!(split, TceError::NoRoom { pages: 2, free: 3 });
    on_demand.reuse(&model, held.remove(62));
    assert_eq!(open(on_demand, &model, Gpa(0), 2 << 12, TceFlags::WRITE).unwrap().0 & 0xfff, 0);
}

#[test]
fn a_failed_mapping_on_demand_gives_its_pages_back_only_if_they_were_cleared() {
    for undo_fails in [false, true] {
        let model = failing(Hcall::PutTce, 1, undo_fails);
        let window = DmaWindow::new(Model::LIOBN, 0, 3 << 12).unwrap();
        let phb = for_memory(&model, window, None, &Model::ram()).unwrap();
        let Route::OnDemand(on_demand) = phb.route() else { panic!("{phb:?}") };
        assert!(open(on_demand, &model, Gpa(0), 2 << 12, TceFlags::READ).is_err());
        model.behave();
        let again = open(on_demand, &model, Gpa(0), 2 << 12, TceFlags::READ);
        assert_eq!(again.is_err(), undo_fails, "pages that may still be mapped are not used again");
    }
}

/// The hypervisor says that it has cleared entries, and has not.
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

#[test]
fn an_undo_that_clears_nothing_is_said() {
    let model = Model::new(true);
    let mut puts = 0;
    model.on_hcall(move |call, _| {
        puts += u64::from(call == Hcall::PutTce);
        match call {
            Hcall::PutTce if puts == 7 => status(-1),
            Hcall::StuffTce => status(0),
            _ => None,
        }
    });
    let error = for_pool(&model, window(), None).unwrap_err();
    assert!(matches!(error, TceError::NotMapped { undone: false, .. }), "{error}");
}

#[test]
fn the_pool_gets_a_small_window_in_the_place_of_the_default_one_whatever_that_mapped() {
    case!("TCE-08", Ignore);
    let model = Model::new(true);
    model.offer_dynamic_windows();
    model.put_stale_tce(Model::LIOBN, 5, 0x1003);
    model.put_stale_tce(Model::LIOBN, (1 << 18) - 1, 0x2003);
    stuff_does_nothing(&model);
    let phb = for_pool(&model, window(), Some(&ddw(&model))).unwrap();
    let expected: Vec<(u64, u64)> =
        (0..4).map(|frame| ((frame + 1) << 16, (POOL.start.0 + (frame << 16)) | 3)).collect();
    assert_eq!(model.tces(Model::LIOBN), expected);
    assert_eq!((phb.report().page_shift, phb.report().pages_mapped), (16, 4));
    assert!(matches!(phb.route(), Route::Pool { gpa, bus: 0x1_0000 } if *gpa == POOL));
    assert_eq!(phb.reach().exposed(&model, POOL), Ok(0));
    // Every entry of the new window was read, and nearly none of the old one.
    assert!(model.hcalls().len() < 40, "{}", model.hcalls().len());
}

#[test]
fn a_new_window_that_maps_something_is_found_before_the_pool_is_mapped() {
    let model = Model::new(true);
    model.offer_dynamic_windows();
    model.on_hcall(|call, args| {
        let lie = call == Hcall::GetTce && args[1] == 7 << 16;
        lie.then_some(HcallReturn { status: 0, out: [0x1234_0001, 0, 0, 0] })
    });
    let error = for_pool(&model, window(), Some(&ddw(&model))).unwrap_err();
    assert_eq!(error, TceError::StillMapped { ioba: 7 << 16, tce: 0x1234_0001 });
    assert_eq!(model.tces(Model::LIOBN), []);
}

#[test]
fn a_default_window_that_is_removed_in_words_only_is_cleared_and_read_back() {
    case!("TCE-09", Fallback);
    let model = Model::new(true);
    model.offer_dynamic_windows();
    model.put_stale_tce(Model::LIOBN, 99, 0x1003);
    model.on_rtas(|name, _, _| (name == "ibm,remove-pe-dma-window").then_some(Ok(())));
    let phb = for_pool(&model, window(), Some(&ddw(&model))).unwrap();
    assert_eq!((phb.report().page_shift, phb.report().pages_mapped), (12, PAGES));
    assert_eq!(phb.reach().exposed(&model, POOL), Ok(0));
    stuff_does_nothing(&model);
    model.put_stale_tce(Model::LIOBN, 99, 0x1003);
    let error = for_pool(&model, window(), Some(&ddw(&model))).unwrap_err();
    assert!(matches!(error, TceError::StillMapped { .. }), "{error}");
}

#[test]
fn a_removed_window_that_can_be_read_again_is_no_answer_to_what_is_exposed() {
    case!("TCE-09", Halt);
    let model = Model::new(true);
    model.offer_dynamic_windows();
    let phb = for_pool(&model, window(), Some(&ddw(&model))).unwrap();
    assert_eq!(phb.reach().exposed(&model, POOL), Ok(0));
    model.on_hcall(
        |call, args| {
            if call == Hcall::GetTce && args[1] == (1 << 30) - (1 << 12) { status(0) } else { None }
        },
    );
    let error = phb.reach().exposed(&model, POOL).unwrap_err();
    assert_eq!(error, TceError::NotRemoved { liobn: Model::LIOBN });
}

#[test]
fn a_pool_without_a_usable_dynamic_window_keeps_the_default_one() {
    case!("TCE-07", Fallback);
    for answer in [Err(RtasError::Hardware), Ok(0), Ok(0x100)] {
        let model = Model::new(true);
        model.offer_dynamic_windows();
        model.on_rtas(move |name, _, rets| {
            rets.fill(answer.unwrap_or_default());
            (name == "ibm,query-pe-dma-window").then_some(answer.map(|_| ()))
        });
        let phb = for_pool(&model, window(), Some(&ddw(&model))).unwrap();
        assert_eq!((phb.report().page_shift, phb.report().pages_mapped), (12, PAGES));
    }
}

#[test]
fn a_pool_whose_window_is_gone_and_not_replaced_is_mapped_nowhere() {
    case!("TCE-07", Refuse);
    for answer in [Err(RtasError::Hardware), Ok(u32::MAX), Ok(1)] {
        let model = Model::new(true);
        model.offer_dynamic_windows();
        model.on_rtas(move |name, _, rets| {
            if name != "ibm,create-pe-dma-window" {
                return None;
            }
            rets.fill(answer.unwrap_or_default());
            Some(answer.map(|_| ()))
        });
        let error = for_pool(&model, window(), Some(&ddw(&model))).unwrap_err();
        assert!(matches!(error, TceError::NotReplaced(_)), "{error}");
        assert!(model.hcalls().iter().all(|(call, _)| *call != Hcall::PutTce));
    }
}

fn ddw(model: &Model) -> Ddw<'_> {
    Ddw { rtas: model, buid: 0x0800_0000_2000_0000, config_address: 0 }
}

#[test]
fn a_dynamic_window_maps_all_memory_once_with_the_largest_page_that_fits() {
    for (ram, shift) in [
        (GpaRange { start: Gpa(0), len: 64 << 20 }, 24),
        (GpaRange { start: Gpa(0), len: 62 << 20 }, 21),
        (GpaRange { start: Gpa(0), len: (62 << 20) + (64 << 10) }, 16),
    ] {
        let model = Model::new(false);
        model.offer_dynamic_windows();
        let phb = for_memory(&model, window(), Some(&ddw(&model)), &[ram]).unwrap();
        let report = phb.report();
        assert_eq!((report.kind, report.page_shift), (WindowKind::Direct, shift));
        assert_eq!(report.pages_mapped, ram.len >> shift);
        assert_eq!(report.size, 64 << 20);
        let tces = model.tces(report.liobn);
        assert_eq!(tces.len() as u64, ram.len >> shift);
        assert!(tces.iter().all(|(ioba, tce)| ioba - report.base == tce & !3));
        assert_eq!(model.tces(Model::LIOBN), [], "the default window stays clear");
    }
}

#[test]
fn memory_with_a_hole_is_mapped_without_the_hole() {
    let model = Model::new(false);
    model.offer_dynamic_windows();
    let ram = [GpaRange { start: Gpa(0), len: 16 << 20 }, GpaRange { start: Gpa(48 << 20), len: 16 << 20 }];
    let phb = for_memory(&model, window(), Some(&ddw(&model)), &ram).unwrap();
    let base = phb.report().base;
    assert_eq!(model.tces(phb.report().liobn), [(base, 3), (base + (48 << 20), 48 << 20 | 3)]);
}

#[test]
fn a_dynamic_window_whose_base_is_no_multiple_of_its_pages_is_removed_and_nothing_mapped_in_it() {
    case!("TCE-07", Fallback);
    // 64 MiB are mapped by four pages of 16 MiB; each of these is a multiple of a smaller page alone.
    for base in [1_u64 << 12, 1 << 16, 1 << 21, 1 << 23, (1 << 59) + (1 << 23), 1] {
        let model = Model::new(false);
        model.offer_dynamic_windows();
        let removed = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = removed.clone();
        model.on_rtas(move |name, args, rets| {
            match name {
                "ibm,create-pe-dma-window" => {
                    assert_eq!(args[3], 24, "log2 of the page");
                    rets.copy_from_slice(&[0x8000_0001, (base >> 32) as u32, base as u32]);
                }
                "ibm,remove-pe-dma-window" => seen.lock().unwrap().extend_from_slice(args),
                _ => return None,
            }
            Some(Ok(()))
        });
        let phb = for_memory(&model, window(), Some(&ddw(&model)), &Model::ram()).unwrap();
        assert_eq!(phb.report().kind, WindowKind::OnDemand, "{base:#x}");
        assert_eq!(*removed.lock().unwrap(), [0x8000_0001], "{base:#x}");
        let puts = model.hcalls().into_iter().filter(|(call, _)| *call == Hcall::PutTce);
        assert_eq!(puts.count(), 0, "{base:#x}");
    }
}

#[test]
fn without_a_usable_dynamic_window_buffers_are_mapped_on_demand() {
    case!("TCE-07", Fallback);
    let attempt = |model: &Model| {
        let phb = for_memory(model, window(), Some(&ddw(model)), &Model::ram()).unwrap();
        assert_eq!(phb.report().kind, WindowKind::OnDemand);
    };
    // Not offered at all.
    attempt(&Model::new(false));
    // Refused at each step, or answered with nonsense.
    for service in ["ibm,query-pe-dma-window", "ibm,create-pe-dma-window"] {
        let model = Model::new(false);
        model.offer_dynamic_windows();
        model.on_rtas(move |name, _, _| (name == service).then_some(Err(RtasError::Hardware)));
        attempt(&model);
        model.on_rtas(move |name, _, rets| {
            rets.fill(u32::MAX);
            (name == service).then_some(Ok(()))
        });
        attempt(&model);
        model.on_rtas(move |name, _, rets| {
            rets.fill(0);
            (name == service).then_some(Ok(()))
        });
        attempt(&model);
    }
}

#[test]
fn a_dynamic_window_that_cannot_be_filled_is_removed() {
    let model = Model::new(false);
    model.offer_dynamic_windows();
    let removed = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = removed.clone();
    model.on_rtas(move |name, args, _| {
        if name == "ibm,remove-pe-dma-window" {
            seen.lock().unwrap().extend_from_slice(args);
        }
        None
    });
    model.on_hcall(
        |call, args| {
            if call == Hcall::PutTce && args[1] & 0xfff_ffff == 2 << 24 { status(-4) } else { None }
        },
    );
    let phb = for_memory(&model, window(), Some(&ddw(&model)), &Model::ram()).unwrap();
    assert_eq!(phb.report().kind, WindowKind::OnDemand);
    assert_eq!(*removed.lock().unwrap(), [0x8000_0001]);
}
