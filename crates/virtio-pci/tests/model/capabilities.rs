//! Tests of `pci::capabilities` with the model.

use papr::device_id::DeviceId;
use postern_cases::case;
use std::vec::Vec;
use testkit::pci_model::Model;
use virtio_pci::pci::capabilities::{CAPABILITIES_POINTER, MOST, STATUS_CAPABILITIES};
use virtio_pci::pci::capabilities::{Capability, ListError, list};
use virtio_pci::pci::config::ConfigError;

fn function(first: u8) -> (Model, DeviceId) {
    let model = Model::default();
    let at = model.add(1, 0, 0x1af4, 0x1042);
    model.set(at, 0x04, STATUS_CAPABILITIES << 16);
    model.set8(at, CAPABILITIES_POINTER, first);
    (model, at)
}

fn offsets(model: &Model, at: DeviceId) -> Result<Vec<u8>, ListError> {
    list(model, at).map(|found| found.iter().map(|c| c.offset).collect())
}

#[test]
fn list_is_followed_in_order() {
    let (model, at) = function(0x98);
    model.set(at, 0x98, 0x0102_4011);
    model.set(at, 0x40, 0x0304_0009);
    assert_eq!(
        list(&model, at).unwrap(),
        [
            Capability { offset: 0x98, id: 0x11, rest: [2, 1] },
            Capability { offset: 0x40, id: 9, rest: [4, 3] }
        ]
    );
}

#[test]
fn no_list_without_the_status_bit() {
    let (model, at) = function(0x40);
    model.set(at, 0x04, 0);
    assert_eq!(offsets(&model, at), Ok(std::vec![]));
}

#[test]
fn looping_list_is_refused() {
    case!("CAP-01", Refuse);
    let (model, at) = function(0x40);
    model.set(at, 0x40, 0x0000_4409);
    model.set(at, 0x44, 0x0000_4009);
    assert_eq!(list(&model, at), Err(ListError::Loop));
}

#[test]
fn list_that_fills_config_space_is_accepted() {
    let (model, at) = function(0x40);
    for offset in (0x40..=0xfc_u16).step_by(4) {
        model.set(at, offset, u32::from((offset + 4) as u8) << 8 | 5);
    }
    assert_eq!(list(&model, at).unwrap().len(), MOST);
}

#[test]
fn bad_next_pointer_ends_the_list_and_keeps_what_was_seen() {
    case!("CAP-02", Ignore);
    for bad in [0x3c_u8, 0x00, 0x41, 0x42, 0xfd, 0xff, 0x04] {
        let (model, at) = function(0x40);
        model.set(at, 0x40, u32::from(bad) << 8 | 9);
        assert_eq!(offsets(&model, at), Ok(std::vec![0x40]), "{bad:#x}");
    }
}

#[test]
fn function_removed_in_the_middle_is_an_error() {
    case!("CAP-14", Refuse);
    let (model, at) = function(0x40);
    model.set(at, 0x40, u32::MAX);
    assert_eq!(list(&model, at), Err(ListError::Config(ConfigError::Gone)));
    model.remove(at);
    assert!(list(&model, at).is_err());
}
