//! A secure guest's window: the pool is mapped in the default window.

use super::*;

#[test]
fn a_secure_window_maps_every_page_of_the_pool_and_nothing_else() {
    case!("TCE-06", Ignore);
    let model = Model::new(true);
    // Entries that firmware left, inside and outside the range for the pool.
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
fn an_entry_that_reads_back_differently_is_refused() {
    case!("HC-10", Refuse);
    let model = Model::new(true);
    let mut put = false;
    model.on_hcall(move |call, args| {
        put |= call == Hcall::PutTce;
        let wrong = put && call == Hcall::GetTce && args[1] == 6 << 12;
        wrong.then_some(HcallReturn { status: 0, out: [0x1234_5003, 0, 0, 0] })
    });
    let error = for_pool(&model, window(), None).unwrap_err();
    let cause = MapCause::Differs { put: (POOL.start.0 + (5 << 12)) | 3, got: 0x1234_5003 };
    // Nor does the entry read as cleared afterwards.
    assert_eq!(error, TceError::NotMapped { ioba: 6 << 12, cause, undone: false });
    assert_eq!(model.tces(Model::LIOBN), []);
}

#[test]
fn an_undo_that_fails_is_reported() {
    let model = failing(Hcall::PutTce, 7, true);
    let error = for_pool(&model, window(), None).unwrap_err();
    assert!(matches!(error, TceError::NotMapped { undone: false, .. }));
    assert!(error.to_string().contains("could not be undone"));
}

#[test]
fn an_undo_that_clears_nothing_is_reported() {
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
