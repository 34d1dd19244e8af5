use super::super::host::{H_PUT_TCE, Rule};
use super::super::scratch::ScratchRam;
use super::*;

const BAR_0: u64 = 0x2000_8000_4000;
const BAR_1: u64 = 0x2000_8000_c000;

fn tap(rules: &[Rule]) -> Tap {
    let mut tap = Tap::new(rules.to_vec());
    tap.learn(|name| (name == "ibm,read-pci-config").then_some(0x2015));
    tap
}

fn access(number: u64, address: u64, bytes: u64) -> Call {
    Call { number, registers: [bytes, address, 0, 0], block: None }
}

#[test]
fn devices_are_told_apart_by_the_order_of_their_first_reset() {
    let status = |device| Subject::Load { device, register: STATUS, bytes: 1 };
    let mut tap = tap(&[Rule::from(status(1), 2, What::Result(Value::With(0x40)))]);
    for bar in [BAR_0, BAR_1] {
        assert_eq!(tap.judge(&access(H_LOGICAL_CI_STORE, bar + STATUS, 1)), []);
    }
    let load = |bar| access(H_LOGICAL_CI_LOAD, bar + STATUS, 1);
    assert_eq!(tap.judge(&load(BAR_1)), [], "the first one is left alone");
    assert_eq!(tap.judge(&load(BAR_0)), [], "another device");
    assert_eq!(tap.judge(&load(BAR_1)), [(0, 2, What::Result(Value::With(0x40)))]);
    assert_eq!(tap.judge(&access(H_LOGICAL_CI_LOAD, BAR_1 + STATUS, 4)), [], "another size");
}

#[test]
fn config_space_is_known_by_token_slot_and_register() {
    let ram = ScratchRam::new(1 << 20);
    let block = |register: u32, slot: u32| {
        let words = [0x2015, 4, 2, slot << 11 | register, 0x80_0000, 0x2000_0000, 4];
        let bytes: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        ram.write(0x1000, &bytes).unwrap();
    };
    let mut tap = tap(&[Rule::always(Subject::ConfigRead { slot: 2, register: Some(4) }, What::Record)]);
    for (register, slot, hit) in [(4, 2, true), (4, 1, false), (8, 2, false)] {
        block(register, slot);
        let call = tap.read(&ram, H_RTAS, [0x1000, 0, 0, 0]).unwrap();
        assert_eq!(call.block.as_ref().map(Block::status), Some(0x1000 + 12 + 16));
        assert_eq!(!tap.judge(&call).is_empty(), hit);
    }
}

#[test]
fn a_rule_that_interferes_goes_before_one_that_records_and_both_calls_are_recorded() {
    let put = Subject::Hcall(H_PUT_TCE);
    let answer = What::Answer { status: -16, value: 0 };
    let mut tap = tap(&[Rule::always(put, What::Record), Rule::nth(put, 2, answer)]);
    let call = access(H_PUT_TCE, 0x1000, 7);
    assert_eq!(tap.judge(&call), [(0, 1, What::Record)]);
    let hits = tap.judge(&call);
    assert_eq!(hits, [(1, 2, answer), (0, 2, What::Record)]);
    tap.note(&call, &hits, 1, 2);
    let interfered: Vec<_> = tap.seen.iter().map(|seen| (seen.rule, seen.nth, seen.interfered)).collect();
    assert_eq!(interfered, [(1, 2, true), (0, 2, false)]);
}

#[test]
fn sites_are_watched_while_they_may_matter() {
    let put = Rule::nth(Subject::Hcall(H_PUT_TCE), 1, What::Answer { status: -1, value: 0 });
    let mut tap = tap(&[put]);
    let site = |at, number| Site { at, number };
    let mut watched = tap.watch(&[site(8, Some(0x20)), site(16, Some(0xe0)), site(24, None)]);
    watched.sort_unstable();
    assert_eq!(watched, [8, 24]);
    assert!((1..PROBATION).all(|_| !tap.dismiss(24)) && tap.dismiss(24) && !tap.is_watched(24));
    // Nobody else makes the call: the site stays.
    tap.watch(&[site(24, None)]);
    assert!((0..=PROBATION).all(|_| !tap.dismiss(24)));
    tap.watch(&[site(8, Some(0x20))]);
    assert!((0..=PROBATION).all(|_| !tap.dismiss(8)));
    assert!(tap.finished().is_empty());
    tap.judge(&access(H_PUT_TCE, 0, 0));
    assert_eq!(tap.finished(), [8]);
}

#[test]
fn registers_of_devices_are_little_endian_numbers() {
    let call = access(H_LOGICAL_CI_LOAD, BAR_0 + 0x2000, 4);
    assert_eq!(call.changed(Value::Is(0x1234), 0), 0x3412_0000);
    assert_eq!(call.changed(Value::With(1), 0x0200_0000), 0x0300_0000);
    assert_eq!(access(H_PUT_TCE, 0, 4).changed(Value::Is(0x1234), 0), 0x1234);
}
