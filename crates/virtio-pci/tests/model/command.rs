//! Tests of `pci::command` with the model.

use papr::device_id::DeviceId;
use postern_cases::case;
use testkit::pci_model::Model;
use virtio_pci::pci::command::{COMMAND, Command};
use virtio_pci::pci::command::{
    CommandError, disable_bus_master, enable_bus_master, enable_decoding, enable_pin, quiesce,
};

fn function(command: u16) -> (Model, DeviceId) {
    let model = Model::default();
    let at = model.add(1, 0, 0x1af4, 0x1042);
    model.set(at, COMMAND, command.into());
    (model, at)
}

#[test]
fn firmware_bus_mastering_goes_off_before_anything_else() {
    case!("TCE-05", Ignore);
    let (model, at) = function(0x0107);
    quiesce(&model, at).unwrap();
    assert_eq!(model.get(at, COMMAND) as u16, 0x0500, "SERR# enable stays as it was");
}

#[test]
fn bus_mastering_that_stays_on_is_an_error() {
    let (model, at) = function(0x0006);
    model.make_read_only(at, COMMAND);
    assert!(matches!(quiesce(&model, at), Err(CommandError::NotTaken { .. })));
}

#[test]
fn bus_mastering_is_a_step_of_its_own() {
    let (model, at) = function(0);
    enable_decoding(&model, at, Command::MEMORY).unwrap();
    assert_eq!(model.get(at, COMMAND) as u16, 2);
    enable_bus_master(&model, at).unwrap();
    assert_eq!(model.get(at, COMMAND) as u16, 6);
    disable_bus_master(&model, at).unwrap();
    assert_eq!(model.get(at, COMMAND) as u16, 2);
}

#[test]
fn pin_is_off_until_it_is_asked_for() {
    let (model, at) = function(0x0006);
    quiesce(&model, at).unwrap();
    assert_eq!(model.get(at, COMMAND) as u16, 0x0400);
    enable_pin(&model, at).unwrap();
    assert_eq!(model.get(at, COMMAND) as u16, 0);
}

#[test]
fn decoding_does_not_enable_bus_mastering_even_if_asked() {
    let (model, at) = function(0);
    enable_decoding(&model, at, Command::all()).unwrap();
    assert_eq!(model.get(at, COMMAND) as u16, 3);
}

#[test]
fn removed_function_is_an_error() {
    let (model, at) = function(0);
    model.remove(at);
    assert!(enable_bus_master(&model, at).is_err());
}
