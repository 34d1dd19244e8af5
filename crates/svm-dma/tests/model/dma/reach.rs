//! Memory that a device can reach: by the guard, and through its window.

use super::*;

#[test]
fn the_guard_refuses_every_address_outside_the_pool() {
    for access_platform in [false, true] {
        let model = Model::new(true);
        let dma = model.dma(access_platform);
        let guard = dma.guard();
        let start = if access_platform { 0x1000 } else { POOL_BASE.0 };
        let end = start + POOL_BYTES as u64;
        assert!(guard.allows(bus_addr(start), POOL_BYTES as u64));
        assert!(guard.allows(bus_addr(end - 1), 1));
        for (bus, len) in [
            (end, 1),
            (end - 1, 2),
            (start, POOL_BYTES as u64 + 1),
            (start, u64::MAX),
            (u64::MAX, 1),
            (u64::MAX, u64::MAX),
            (start, 0),
            (0x10_0000_0000, 4096),
        ] {
            assert!(!guard.allows(bus_addr(bus), len), "{bus:#x}+{len:#x}");
        }
        assert!(!guard.allows(bus_addr(start.wrapping_sub(1)), 2));
    }
}

#[test]
fn a_device_of_a_secure_guest_reaches_the_pool_and_nothing_else() {
    let (_, dma, device) = secure();
    let mapping = dma.map_to_device(vec![1; 64]).unwrap();
    assert!(device.read(mapping.segments()[0].bus.raw(), 64).is_ok());
    for outside in [0xfff, 0x1000 + POOL_BYTES as u64] {
        assert_eq!(device.read(outside, 1), Err(Refused::NotMapped(outside)));
    }
    let untranslated = Model::new(true);
    let _dma = untranslated.dma(false);
    let private = papr::addr::Gpa(POOL_BASE.0 - 1);
    assert_eq!(untranslated.device(false).read(private.0, 1), Err(Refused::NotShared(private)));
    dma.unmapped(mapping);
}

#[test]
fn a_device_that_needs_a_window_is_refused_without_one_or_with_one_of_the_other_mode() {
    let id = DeviceId::from_routing(0, 8);
    let secure_system = Model::new(true).dma_system(1);
    assert_eq!(secure_system.device(id, true, None).unwrap_err(), DmaError::NoWindow(id));
    let normal = Model::new(false);
    let normal_window = normal.bridge(&normal.dma_system(1));
    assert_eq!(normal_window.report().kind, WindowKind::OnDemand);
    let wrong = secure_system.device(id, true, Some(&normal_window)).unwrap_err();
    assert_eq!(wrong, DmaError::WrongWindow(id));
}

#[test]
fn a_machine_without_windows_gives_every_device_guest_addresses_of_the_pool() {
    let model = Model::new(true);
    let system = model.dma_system(1).without_windows();
    let dma = system.device(DeviceId::from_routing(0, 8), true, None).unwrap();
    assert_eq!((dma.bounced(), dma.translated()), (true, false));
    let data = bytes(5000);
    let mapping = dma.map_to_device(data.clone()).unwrap();
    for part in mapping.segments() {
        let at = part.bus.raw();
        assert!(at >= POOL_BASE.0 && at + u64::from(part.len) <= POOL_BASE.0 + POOL_BYTES as u64, "{at:#x}");
    }
    // A device without translation finds the bytes at the segments' addresses.
    assert_eq!(device_reads(&model.device(false), &mapping), data);
    assert_eq!(dma.unmapped(mapping), data);
}

#[test]
fn a_dynamic_window_of_a_secure_guest_maps_its_pool_alone() {
    let model = Model::new(true);
    model.offer_dynamic_windows();
    let system = model.dma_system(1);
    let report = model.bridge(&system).report();
    assert_eq!((report.kind, report.page_shift, report.pages_mapped), (WindowKind::Pool, 16, 32));
}

#[test]
fn a_window_too_small_for_the_pool_is_an_error_that_names_both() {
    case!("TCE-03", Refuse);
    let system = Model::new(true).dma_system(1);
    let window = DmaWindow::new(Model::LIOBN, 0, 8192).unwrap();
    let error = system.bridge(window, None, &Model::ram()).unwrap_err();
    assert_eq!(
        std::string::ToString::to_string(&error),
        std::format!(
            "TCE window of 4096 bytes is smaller than the pool of {POOL_BYTES} bytes; \
             the largest that it has room for is pool=0K"
        )
    );
}
