//! A normal guest's default window: a buffer is mapped while it is lent.

use super::*;

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
