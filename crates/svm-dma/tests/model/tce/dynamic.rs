//! A normal guest's dynamic window: all memory is mapped once.

use super::*;

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

#[test]
fn windows_of_an_earlier_kernel_are_gone_after_a_reset() {
    let model = Model::new(false);
    model.offer_dynamic_windows();
    let before = for_memory(&model, window(), Some(&ddw(&model)), &Model::ram()).unwrap().report().liobn;
    assert!(!model.tces(before).is_empty());
    let after = for_memory(&model, window(), Some(&ddw(&model)), &Model::ram()).unwrap().report();
    assert_eq!(after.kind, WindowKind::OnDemand, "the bridge has no window left");
    ddw(&model).reset().unwrap();
    assert_eq!(model.tces(before), []);
    let after = for_memory(&model, window(), Some(&ddw(&model)), &Model::ram()).unwrap().report();
    assert_eq!(after.kind, WindowKind::Direct);
}
