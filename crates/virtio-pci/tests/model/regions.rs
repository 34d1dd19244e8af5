//! Capability lists of honest and hostile devices.

use papr::addr::Gpa;
use papr::device_id::DeviceId;
use papr::platform::Width;
use postern_cases::case;
use std::vec::Vec;
use testkit::pci_model::{Model, windows_of_qemu};
use testkit::unchecked::{registers, windows};
use virtio_pci::pci::bars::assign;
use virtio_pci::pci::capabilities::ListError;
use virtio_pci::virtio::regions::{RegionError, Regions, Structure};

/// A capability as a test describes it.
#[derive(Clone, Copy)]
struct Cap {
    id: u8,
    len: u8,
    kind: u8,
    bar: u8,
    offset: u32,
    length: u32,
    multiplier: u32,
}

const COMMON: Cap = Cap { id: 9, len: 16, kind: 1, bar: 4, offset: 0, length: 0x1000, multiplier: 0 };
const ISR: Cap = Cap { kind: 3, offset: 0x1000, ..COMMON };
const DEVICE: Cap = Cap { kind: 4, offset: 0x2000, ..COMMON };
const NOTIFY: Cap = Cap { kind: 2, len: 20, offset: 0x3000, multiplier: 4, ..COMMON };

const BAR4: u64 = 0x2100_0000_0000;

/// A function with a 16 KiB memory BAR 4, an I/O BAR 0, and `caps` 20 bytes apart.
fn find(caps: &[Cap]) -> Result<Regions, RegionError> {
    let (model, at) = function(caps);
    let bars = assign(&model, at, &mut windows(&windows_of_qemu(), &[]).unwrap()).unwrap();
    Regions::find(&model, at, &bars)
}

fn function(caps: &[Cap]) -> (Model, DeviceId) {
    let model = Model::default();
    let at = model.add(1, 0, 0x1af4, 0x1042);
    model.bar(at, 0, 0xffff_ffe1);
    model.bar(at, 4, 0xffff_c00c);
    model.bar(at, 5, 0xffff_ffff);
    model.set(at, 0x04, 1 << 20);
    model.set8(at, 0x34, if caps.is_empty() { 0 } else { 0x40 });
    for (i, cap) in caps.iter().enumerate() {
        let here = 0x40 + 20 * i as u16;
        let next = if i + 1 < caps.len() { (here + 20) as u8 } else { 0 };
        model.set(at, here, u32::from_le_bytes([cap.id, next, cap.len, cap.kind]));
        model.set(at, here + 4, cap.bar.into());
        model.set(at, here + 8, cap.offset);
        model.set(at, here + 12, cap.length);
        model.set(at, here + 16, cap.multiplier);
    }
    (model, at)
}

fn with(change: impl Fn(&mut [Cap; 4])) -> Result<Regions, RegionError> {
    let mut caps = [COMMON, ISR, DEVICE, NOTIFY];
    change(&mut caps);
    find(&caps)
}

#[test]
fn device_of_qemu_is_understood() {
    let regions = with(|_| {}).unwrap();
    assert_eq!(regions.common, registers(Gpa(BAR4), 0x1000));
    assert_eq!(regions.isr, Some(registers(Gpa(BAR4 + 0x1000), 0x1000)));
    assert_eq!(regions.device, Some(registers(Gpa(BAR4 + 0x2000), 0x1000)));
    assert_eq!(regions.notify, registers(Gpa(BAR4 + 0x3000), 0x1000));
    assert_eq!(regions.notify_multiplier, 4);
}

#[test]
fn the_first_structure_that_this_driver_can_use_counts() {
    let io = Cap { bar: 0, offset: 0, length: 4, ..NOTIFY };
    let regions = find(&[COMMON, ISR, DEVICE, io, NOTIFY]).unwrap();
    assert_eq!(regions.notify, registers(Gpa(BAR4 + 0x3000), 0x1000));
    let refused = RegionError::IoBar { structure: Structure::Notify, bar: 0 };
    assert_eq!(find(&[COMMON, ISR, DEVICE, io]), Err(refused));
    assert_eq!(find(&[io, ISR, DEVICE, NOTIFY]), Err(RegionError::LegacyOnly(Structure::Common)));
}

#[test]
fn legacy_device_is_refused_by_name() {
    let error = find(&[]).unwrap_err();
    assert_eq!(error, RegionError::LegacyOnly(Structure::Common));
    assert_eq!(std::format!("{error}"), "legacy interface only: no common configuration");
    assert_eq!(find(&[COMMON]), Err(RegionError::LegacyOnly(Structure::Notify)));
}

#[test]
fn first_capability_of_a_type_wins() {
    case!("CAP-03", Ignore);
    let second = Cap { offset: 0x2800, length: 0x100, ..COMMON };
    let regions = find(&[COMMON, Cap { length: 0x800, ..DEVICE }, NOTIFY, second]).unwrap();
    assert_eq!(regions.common.gpa(), Gpa(BAR4));
}

#[test]
fn overlapping_structures_refuse_the_device() {
    case!("CAP-03", Refuse);
    let second = Cap { offset: 0x800, length: 0x100, ..COMMON };
    assert_eq!(
        find(&[COMMON, NOTIFY, second]),
        Err(RegionError::Overlap(Structure::Common, Structure::Common))
    );
    let overlap = with(|caps| caps[3].offset = 0x2ffe);
    assert_eq!(overlap, Err(RegionError::Overlap(Structure::Device, Structure::Notify)));
}

#[test]
fn offset_plus_length_that_wraps_is_refused() {
    case!("CAP-04", Refuse);
    let outside = RegionError::Outside { structure: Structure::Common, offset: 0xffff_fff0, len: 0x1000 };
    assert_eq!(with(|caps| caps[0].offset = 0xffff_fff0), Err(outside));
}

#[test]
fn structure_beyond_its_bar_is_refused() {
    case!("CAP-05", Refuse);
    let outside = RegionError::Outside { structure: Structure::Notify, offset: 0x3000, len: 0x1001 };
    assert_eq!(with(|caps| caps[3].length = 0x1001), Err(outside));
}

#[test]
fn structure_that_is_too_short_is_refused() {
    case!("CAP-06", Refuse);
    let short = |structure, len| Err(RegionError::Short { structure, len });
    assert_eq!(with(|caps| caps[0].length = 55), short(Structure::Common, 55));
    assert_eq!(with(|caps| caps[3].length = 1), short(Structure::Notify, 1));
    assert_eq!(with(|caps| caps[1].length = 0), short(Structure::Isr, 0));
}

#[test]
fn bar_numbers_that_do_not_exist_are_refused() {
    case!("CAP-07", Refuse);
    for bar in [1, 5, 6, 7, 64, 255] {
        let refused = Err(RegionError::NoBar { structure: Structure::Common, bar });
        assert_eq!(with(|caps| caps[0].bar = bar), refused, "{bar}");
    }
}

#[test]
fn structure_in_an_io_bar_is_refused() {
    case!("CAP-08", Refuse);
    let refused = RegionError::IoBar { structure: Structure::Notify, bar: 0 };
    assert_eq!(with(|caps| caps[3].bar = 0), Err(refused));
}

#[test]
fn misaligned_structures_are_refused() {
    let refused = RegionError::Misaligned { structure: Structure::Common, offset: 2 };
    assert_eq!(with(|caps| (caps[0].offset, caps[0].length) = (2, 0x100)), Err(refused));
}

#[test]
fn odd_multipliers_are_refused() {
    for multiplier in [1, 3, 6, 0xffff_ffff] {
        let refused = Err(RegionError::Multiplier(multiplier));
        assert_eq!(with(|caps| caps[3].multiplier = multiplier), refused);
    }
    assert_eq!(with(|caps| caps[3].multiplier = 0).unwrap().notify_multiplier, 0);
    assert_eq!(with(|caps| caps[3].multiplier = 1 << 31).unwrap().notify_multiplier, 1 << 31);
}

#[test]
fn unknown_types_are_ignored_whatever_they_contain() {
    case!("CAP-09", Ignore);
    for kind in [0, 5, 8, 9, 0x7f, 0xff] {
        let odd = Cap { kind, bar: 0xff, offset: u32::MAX, length: u32::MAX, ..COMMON };
        find(&[odd, COMMON, NOTIFY]).unwrap();
    }
    let other_vendor = Cap { id: 0x11, bar: 0xff, ..COMMON };
    find(&[other_vendor, COMMON, NOTIFY]).unwrap();
}

#[test]
fn capability_shorter_than_its_header_is_refused() {
    case!("CAP-11", Refuse);
    for len in [0, 1, 15] {
        assert_eq!(with(|caps| caps[0].len = len), Err(RegionError::LegacyOnly(Structure::Common)));
    }
    assert_eq!(with(|caps| caps[3].len = 16), Err(RegionError::LegacyOnly(Structure::Notify)));
}

#[test]
fn capability_that_ends_outside_config_space_is_refused() {
    case!("CAP-11", Ignore);
    let (model, at) = function(&[COMMON, NOTIFY]);
    model.set8(at, 0x34, 0xf4);
    model.set(at, 0xf4, u32::from_le_bytes([9, 0x40, 16, 1]));
    let bars = assign(&model, at, &mut windows(&windows_of_qemu(), &[]).unwrap()).unwrap();
    assert_eq!(Regions::find(&model, at, &bars).unwrap().common.gpa(), Gpa(BAR4), "the next one is used");
}

#[test]
fn looping_list_refuses_the_device() {
    case!("CAP-01", Refuse);
    let (model, at) = function(&[COMMON, NOTIFY]);
    model.set8(at, 0x41 + 20, 0x40);
    let bars = assign(&model, at, &mut windows(&windows_of_qemu(), &[]).unwrap()).unwrap();
    assert_eq!(Regions::find(&model, at, &bars), Err(RegionError::List(ListError::Loop)));
}

#[test]
fn registers_outside_a_region_have_no_address() {
    let region = registers(Gpa(0x1000), 8);
    assert_eq!(region.register(4, Width::W32).map(|register| register.gpa()), Some(Gpa(0x1004)));
    let outside: Vec<_> = [(5, Width::W32), (8, Width::W8), (u32::MAX, Width::W64)]
        .into_iter()
        .filter_map(|(offset, width)| region.register(offset, width))
        .collect();
    assert!(outside.is_empty());
}

mod any_bytes {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        /// Config space full of noise never panics. Almost no noise is a valid list.
        #[test]
        fn noise_never_panics(
            noise in proptest::collection::vec(any::<u8>(), 0xc0),
            first in any::<u8>(),
        ) {
            let (model, at) = function(&[]);
            for (i, byte) in noise.iter().enumerate() {
                model.set8(at, 0x40 + i as u16, *byte);
            }
            model.set8(at, 0x34, first);
            let bars = assign(&model, at, &mut windows(&windows_of_qemu(), &[]).unwrap()).unwrap();
            let _ = Regions::find(&model, at, &bars);
        }

        #[test]
        fn arbitrary_places_are_refused_or_inside_the_bar(
            places in proptest::array::uniform4((0u32..0xc00, 0u32..0x1000)),
            index in 0usize..4,
            (offset, length) in prop_oneof![
                any::<(u32, u32)>(),
                // Ends at the end of the BAR, or a few bytes after it.
                (0u32..0x1000, 0u32..8).prop_map(|(words, past)| (4 * words, 0x4000 - 4 * words + past)),
            ],
        ) {
            let mut caps = [COMMON, ISR, DEVICE, NOTIFY];
            for (cap, (offset, length)) in caps.iter_mut().zip(places) {
                (cap.offset, cap.length) = (4 * offset, length);
            }
            for change in [false, true] {
                if change {
                    (caps[index].offset, caps[index].length) = (offset, length);
                }
                let Ok(regions) = find(&caps) else { continue };
                let all = [Some(regions.common), Some(regions.notify), regions.isr, regions.device];
                for region in all.into_iter().flatten() {
                    let (start, end) = (region.gpa().0, region.gpa().0 + region.len());
                    prop_assert!(BAR4 <= start && end <= BAR4 + 0x4000, "{region:x?}");
                }
            }
        }
    }
}
