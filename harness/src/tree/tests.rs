//! The comparison finds lost, new and changed parts, and its list agrees with the document.

use super::{EXPECTED, Kind, compare, difference, unexpected};
use crate::variable::Firmware;
use postern_ultravisor::fdt::Fdt;

/// A tree in the words of a small language: `{ name` begins a node, `}` ends one, `name=value` is a property
/// whose value is the bytes of the text, or one cell after `#`.
fn tree(reserved: &[(u64, u64)], boot_cpu: u32, words: &[&str]) -> Fdt {
    let (mut tokens, mut strings) = (Vec::new(), Vec::new());
    let word = |tokens: &mut Vec<u8>, word: usize| tokens.extend((word as u32).to_be_bytes());
    let pad = |tokens: &mut Vec<u8>| tokens.resize(tokens.len().next_multiple_of(4), 0);
    for text in words {
        if let Some(name) = text.strip_prefix("{ ") {
            word(&mut tokens, 1);
            tokens.extend(name.trim().as_bytes());
            tokens.push(0);
            pad(&mut tokens);
        } else if let Some((name, value)) = text.split_once('=') {
            let value = match value.strip_prefix('#') {
                Some(cell) => cell.parse::<u32>().unwrap().to_be_bytes().to_vec(),
                None => value.as_bytes().to_vec(),
            };
            word(&mut tokens, 3);
            word(&mut tokens, value.len());
            word(&mut tokens, strings.len());
            strings.extend(name.as_bytes());
            strings.push(0);
            tokens.extend(value);
            pad(&mut tokens);
        } else {
            word(&mut tokens, 2);
        }
    }
    word(&mut tokens, 9);
    let mut map: Vec<u8> = Vec::new();
    for (start, len) in reserved.iter().chain(&[(0, 0)]) {
        map.extend(start.to_be_bytes());
        map.extend(len.to_be_bytes());
    }
    let structure = 40 + map.len();
    let total = structure + tokens.len() + strings.len();
    let mut blob = Vec::new();
    for field in [
        0xd00d_feed,
        total,
        structure,
        structure + tokens.len(),
        40,
        17,
        16,
        boot_cpu as usize,
        strings.len(),
        tokens.len(),
    ] {
        word(&mut blob, field);
    }
    blob.extend(map);
    blob.extend(tokens);
    blob.extend(strings);
    Fdt::parse(&blob).unwrap()
}

const GIVEN: [&str; 12] = [
    "{  ",
    "model=a",
    "{ pic@1",
    "phandle=#7",
    "}",
    "{ bus",
    "interrupt-parent=#7",
    "reg=#7",
    "{ dev",
    "}",
    "}",
    "}",
];

#[test]
fn equal_trees_have_no_difference_whatever_the_order() {
    let given = tree(&[(1, 2)], 3, &GIVEN);
    let turned = [
        "{  ",
        "{ bus",
        "reg=#7",
        "interrupt-parent=#7",
        "{ dev",
        "}",
        "}",
        "{ pic@1",
        "phandle=#7",
        "}",
        "}",
    ];
    let mut words = turned.to_vec();
    words.insert(1, "model=a");
    assert_eq!(compare(&given, &tree(&[(9, 9), (1, 2)], 3, &words)), []);
}

#[test]
fn lost_new_and_changed_parts_are_named() {
    let given = tree(&[(1, 2)], 3, &GIVEN);
    let other = tree(&[], 0, &["{  ", "model=b", "extra=", "{ bus", "reg=#7", "}", "{ more", "}", "}"]);
    let mut found = compare(&given, &other);
    found.sort_by_key(ToString::to_string);
    let mut all = vec![
        difference(Kind::ReservationLost, "", "0x1+0x2"),
        difference(Kind::BootCpu, "", "0 instead of 3"),
        difference(Kind::Value, "/", "model"),
        difference(Kind::PropertyNew, "/", "extra"),
        difference(Kind::NodeLost, "/pic@1", ""),
        difference(Kind::PropertyLost, "/bus", "interrupt-parent"),
        difference(Kind::NodeLost, "/bus/dev", ""),
        difference(Kind::NodeNew, "/more", ""),
    ];
    all.sort_by_key(ToString::to_string);
    assert_eq!(found, all);
}

#[test]
fn a_phandle_may_change_only_to_the_new_phandle_of_its_node() {
    let given = tree(&[], 0, &GIVEN);
    let with = |parent: &'static str, reg: &'static str| {
        let words = GIVEN.map(|word| match word {
            "phandle=#7" => "phandle=#8",
            "interrupt-parent=#7" => parent,
            "reg=#7" => reg,
            other => other,
        });
        unexpected(Firmware::Slof, &given, &tree(&[], 0, &words))
    };
    assert_eq!(with("interrupt-parent=#8", "reg=#7"), []);
    let wrong = difference(Kind::Value, "/bus", "interrupt-parent");
    assert_eq!(with("interrupt-parent=#9", "reg=#7"), [wrong]);
    assert_eq!(with("interrupt-parent=#8", "reg=#8"), [difference(Kind::Value, "/bus", "reg")]);
}

#[test]
fn a_node_under_its_new_name_is_still_compared() {
    let given = tree(&[], 0, &["{  ", "{ pci@1", "{ serial@2", "reg=#1", "}", "}", "}"]);
    let renamed = tree(&[], 0, &["{  ", "{ pci@1", "{ communication-controller@2", "reg=#2", "}", "}", "}"]);
    let wrong = difference(Kind::Value, "/pci@1/serial@2", "reg");
    let mut found = unexpected(Firmware::Slof, &given, &renamed);
    assert_eq!(found.pop(), Some(wrong));
    assert_eq!(found, []);
    let name = difference(Kind::NodeRenamed, "/pci@1/serial@2", "communication-controller");
    assert_eq!(unexpected(Firmware::Vof, &given, &renamed).first(), Some(&name));
}

#[test]
fn a_difference_expected_of_one_firmware_is_unexpected_of_the_other() {
    let given = tree(&[], 0, &["{  ", "{ chosen", "}", "}"]);
    let other = tree(&[], 0, &["{  ", "{ chosen", "stdin=#1", "postern,entry=x", "}", "{ options", "}", "}"]);
    assert_eq!(unexpected(Firmware::Slof, &given, &other), []);
    let vof = unexpected(Firmware::Vof, &given, &other);
    let stdin = difference(Kind::PropertyNew, "/chosen", "stdin");
    assert_eq!(vof, [difference(Kind::NodeNew, "/options", ""), stdin]);
}

#[test]
fn the_document_mentions_each_expected_difference() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/device-tree.md"));
    for expected in EXPECTED {
        let word = if expected.name.is_empty() { expected.path } else { expected.name };
        assert!(page.contains(&format!("`{word}`")), "docs/device-tree.md does not mention {word}");
    }
}
