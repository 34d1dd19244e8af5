//! Scans of honest and hostile buses.

use papr::device_id::DeviceId;
use papr::platform::Width;
use postern_cases::case;
use std::cell::Cell;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;
use testkit::pci_model::Model;
use virtio_pci::pci::bridge::BridgeError;
use virtio_pci::pci::bridge::MAX_DEPTH;
use virtio_pci::pci::config::ConfigError;
use virtio_pci::pci::config::ConfigSpace;
use virtio_pci::pci::functions::Function;
use virtio_pci::pci::functions::Header;
use virtio_pci::pci::scan::{MAX_FUNCTIONS, Scan, scan};

const HEADER_TYPE: u16 = 0x0e;
const ALL: (u8, u8) = (0, 255);

fn addresses(model: &Model) -> Vec<(u8, u8)> {
    scan(model, ALL).functions.iter().map(|f| (f.at.device(), f.at.function())).collect()
}

fn names(scan: &Scan) -> Vec<String> {
    scan.functions.iter().map(|function| function.at.to_string()).collect()
}

#[test]
fn empty_bus_has_no_functions() {
    assert!(scan(&Model::default(), ALL).functions.is_empty());
}

#[test]
fn header_fields_are_read() {
    let model = Model::default();
    let at = model.add(3, 0, 0x1af4, 0x1042);
    model.set(at, 0x08, 0x0100_0001);
    model.set(at, 0x2c, 0x1100_1af4);
    let expected = Function {
        at,
        behind: None,
        vendor: 0x1af4,
        device: 0x1042,
        subsystem: 0x1100,
        class: 0x01_0000,
        revision: 1,
        header: Header::Endpoint,
    };
    assert_eq!(scan(&model, ALL).functions, [expected]);
}

#[test]
fn functions_are_those_of_the_host_bridge_that_was_asked() {
    let model = Model::of(0x1e);
    model.add(3, 0, 0x1af4, 0x1042);
    assert_eq!(names(&scan(&model, ALL)), ["001e:00:03.0"]);
}

#[test]
fn other_functions_count_only_where_function_0_says_so() {
    let model = Model::default();
    model.add(1, 0, 1, 1);
    model.add(1, 3, 1, 1);
    assert_eq!(addresses(&model), [(1, 0)]);
    model.set8(DeviceId::new(0, 0, 1, 0).unwrap(), HEADER_TYPE, 0x80);
    assert_eq!(addresses(&model), [(1, 0), (1, 3)]);
}

#[test]
fn function_without_function_0_is_not_found() {
    let model = Model::default();
    model.add(2, 1, 1, 1);
    assert!(scan(&model, ALL).functions.is_empty());
}

#[test]
fn bus_that_claims_every_function_ends_at_256() {
    case!("CAP-13", Work);
    let model = Model::default();
    for device in 0..32 {
        for function in 0..8 {
            let at = model.add(device, function, 1, 1);
            model.set8(at, HEADER_TYPE, 0x80);
        }
    }
    let found = scan(&model, ALL);
    assert_eq!((found.functions.len(), found.full), (MAX_FUNCTIONS, false));
}

#[test]
fn unknown_headers_are_named_not_followed() {
    case!("CAP-13", Ignore);
    let model = Model::default();
    let odd = model.add(2, 0, 0x1b36, 2);
    model.set8(odd, HEADER_TYPE, 0x7f);
    let found = scan(&model, ALL);
    assert_eq!(found.functions[0].header, Header::Unknown(0x7f));
    assert_eq!(
        format!("{}", found.functions[0]),
        "0000:00:02.0 1b36:0002 class 000000 unknown header type 0x7f"
    );
}

#[test]
fn buses_are_numbered_depth_first_whatever_firmware_left() {
    let model = Model::default();
    let (first, behind_first) = model.add_bridge(0, 1);
    let (inner, behind_inner) = model.add_bridge(behind_first, 4);
    model.add_on(behind_inner, 2, 0, 0x1af4, 0x1042);
    model.add_on(behind_first, 7, 0, 0x1af4, 0x1041);
    let (second, behind_second) = model.add_bridge(0, 2);
    model.add_on(behind_second, 2, 0, 0x1af4, 0x1042);
    let found = scan(&model, ALL);
    let expected =
        ["0000:00:01.0", "0000:00:02.0", "0000:01:04.0", "0000:01:07.0", "0000:02:02.0", "0000:03:02.0"];
    assert_eq!(names(&found), expected);
    assert!(found.faults.is_empty() && !found.full);
    // Primary, secondary, subordinate; the timer keeps what it had.
    let numbers = |bridge| model.get(bridge, 0x18);
    assert_eq!([first, inner, second].map(numbers), [0x0002_0100, 0x0002_0201, 0x0003_0300]);
    let disk = found.functions[4].at;
    let upstream: Vec<String> = found.upstream(disk).map(|bridge| bridge.to_string()).collect();
    assert_eq!(upstream, ["0000:01:04.0", "0000:00:01.0"]);
    assert_eq!(found.upstream(first).count(), 0);
}

/// Asserts with each read of a bus other than 0 that this bridge forwards nothing.
struct Shut(Model, DeviceId, Cell<u32>);

impl Shut {
    fn assert(&self) {
        let Self(model, bridge, _) = self;
        assert_eq!(model.get(*bridge, 0x04) & 7, 0, "no bus mastering, no decoding");
        assert_eq!(model.get(*bridge, 0x3c) >> 16, 0, "no reset, no legacy ranges");
        assert_eq!(model.get(*bridge, 0x20), 0x0000_fff0, "base above limit");
    }
}

impl ConfigSpace for Shut {
    fn domain(&self) -> u16 {
        0
    }
    fn read(&self, at: DeviceId, register: u16, width: Width) -> Result<u32, ConfigError> {
        if at.bus() != 0 {
            self.2.set(self.2.get() + 1);
            self.assert();
        }
        self.0.read(at, register, width)
    }
    fn write(&self, at: DeviceId, register: u16, width: Width, value: u32) -> Result<(), ConfigError> {
        self.0.write(at, register, width, value)
    }
}

#[test]
fn a_bridge_is_shut_before_any_function_behind_it_is_read() {
    let model = Model::default();
    let (bridge, behind) = model.add_bridge(0, 1);
    model.set(bridge, 0x04, 0x0107);
    model.set(bridge, 0x3c, 0x0048_0000);
    model.add_on(behind, 0, 0, 1, 1);
    let shut = Shut(model, bridge, Cell::new(0));
    assert_eq!(scan(&shut, ALL).functions.len(), 2);
    assert!(shut.2.get() > 0);
    shut.assert();
}

#[test]
fn each_bridge_rotates_the_pins() {
    let model = Model::default();
    let (_, behind) = model.add_bridge(0, 5);
    let (_, inner) = model.add_bridge(behind, 2);
    model.add_on(inner, 3, 0, 1, 1);
    let found = scan(&model, ALL);
    let [root, bridge, disk] = [0, 1, 2].map(|index: usize| found.functions[index].at);
    assert_eq!(found.root_pin(root, 1), (root, 1));
    assert_eq!(found.root_pin(bridge, 1), (root, 3));
    // INTA, by device 3 to INTD, by device 2 to INTB.
    assert_eq!(found.root_pin(disk, 1), (root, 2));
}

#[test]
fn bridges_behind_bridges_end_at_a_depth() {
    case!("BRG-01", Refuse);
    let model = Model::default();
    let mut wire = 0;
    for _ in 0..=MAX_DEPTH {
        (_, wire) = model.add_bridge(wire, 1);
    }
    model.add_on(wire, 1, 0, 1, 1);
    let found = scan(&model, ALL);
    assert_eq!(found.functions.len(), MAX_DEPTH + 1);
    assert!(matches!(found.faults[..], [(bridge, BridgeError::TooDeep)] if bridge.at.bus() == 8));
}

/// Every bus shows the same functions, whatever number a bridge gives it.
struct Mirror(Model, Cell<u32>);

impl ConfigSpace for Mirror {
    fn domain(&self) -> u16 {
        0
    }
    fn read(&self, at: DeviceId, register: u16, width: Width) -> Result<u32, ConfigError> {
        self.1.set(self.1.get() + 1);
        self.0.read(DeviceId::new(0, 0, at.device(), at.function()).unwrap(), register, width)
    }
    fn write(&self, at: DeviceId, register: u16, width: Width, value: u32) -> Result<(), ConfigError> {
        self.0.write(DeviceId::new(0, 0, at.device(), at.function()).unwrap(), register, width, value)
    }
}

#[test]
fn bus_that_shows_itself_behind_each_of_its_bridges_ends_at_a_count() {
    case!("BRG-02", Refuse);
    let model = Model::default();
    for device in 0..4 {
        model.add_bridge(0, device);
    }
    let mirror = Mirror(model, Cell::new(0));
    let found = scan(&mirror, ALL);
    assert!(found.full && found.functions.len() <= MAX_FUNCTIONS);
    assert!(mirror.1.get() < 20_000, "{} reads", mirror.1.get());
}

#[test]
fn bridge_that_keeps_its_bus_numbers_is_refused_with_those_that_it_may_hide() {
    case!("BRG-03", Refuse);
    let model = Model::default();
    let (bridge, behind) = model.add_bridge(0, 1);
    model.add_on(behind, 0, 0, 1, 1);
    let (hidden, other) = model.add_bridge(0, 2);
    model.add_on(other, 5, 0, 1, 1);
    model.make_read_only(bridge, 0x18);
    let found = scan(&model, ALL);
    assert_eq!(names(&found), ["0000:00:01.0", "0000:00:02.0"]);
    let keeps = BridgeError::NotTaken { register: 0x18, wanted: 0, found: 0x00ff_0107 };
    let faults: Vec<_> = found.faults.iter().map(|(at, error)| (at.at, *error)).collect();
    assert_eq!(faults, [(bridge, keeps), (hidden, BridgeError::HiddenBy(bridge))]);
}

#[test]
fn bridge_that_keeps_bus_mastering_is_refused() {
    case!("BRG-03", Refuse);
    let model = Model::default();
    let (bridge, behind) = model.add_bridge(0, 1);
    model.add_on(behind, 0, 0, 1, 1);
    model.set(bridge, 0x04, 6);
    model.make_read_only(bridge, 0x04);
    let found = scan(&model, ALL);
    assert_eq!(names(&found), ["0000:00:01.0"]);
    assert!(matches!(found.faults[..], [(_, BridgeError::Command(_))]));
}

#[test]
fn bus_numbers_end_where_the_host_bridge_says() {
    case!("BRG-01", Refuse);
    let model = Model::default();
    let bridges: Vec<_> = (1..4).map(|device| model.add_bridge(0, device)).collect();
    for (_, behind) in &bridges {
        model.add_on(*behind, 0, 0, 1, 1);
    }
    let found = scan(&model, (0, 2));
    assert_eq!(found.functions.len(), 3 + 2);
    assert_eq!(
        found.faults.iter().map(|(at, error)| (at.at, *error)).collect::<Vec<_>>(),
        vec![(bridges[2].0, BridgeError::NoBusNumber)]
    );
}
