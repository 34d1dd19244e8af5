//! A secure guest's window: the default one is replaced by one as small as the pool.

use super::*;

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
        let wrong = call == Hcall::GetTce && args[1] == 7 << 16;
        wrong.then_some(HcallReturn { status: 0, out: [0x1234_0001, 0, 0, 0] })
    });
    let error = for_pool(&model, window(), Some(&ddw(&model))).unwrap_err();
    assert_eq!(error, TceError::StillMapped { ioba: 7 << 16, tce: 0x1234_0001 });
    assert_eq!(model.tces(Model::LIOBN), []);
}

#[test]
fn a_default_window_whose_removal_has_no_effect_is_cleared_and_read_back() {
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
fn a_removed_window_that_can_be_read_again_fails_the_exposure_check() {
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
