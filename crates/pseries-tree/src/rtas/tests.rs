use super::super::{Machine, MachineError, Tree};
use super::*;
use papr::rtas::Service;
use postern_cases::case;
use proptest::prelude::{prop_assert, proptest};
use std::string::String;
use std::vec::Vec;
use testkit::trees::{Builder, REAL};

fn described(blob: &[u8]) -> Result<Machine, MachineError> {
    Machine::read(&Tree::check(blob).unwrap())
}

/// Names and tokens of a real tree's services.
fn services(blob: &[u8]) -> Vec<(String, u32)> {
    let tree = Tree::check(blob).unwrap();
    let node = read::node_at(&tree, "/rtas").unwrap();
    let tokens = node.properties().filter(|property| !NO_TOKENS.contains(&property.name));
    tokens
        .filter_map(|property| {
            let token = u32::from_be_bytes(property.value.try_into().ok()?);
            Some((property.name.into(), token))
        })
        .collect()
}

/// The tree with another value for one service.
fn with(blob: &[u8], service: &str, value: &[u8]) -> Vec<u8> {
    let edit = |path: &str, name: &str, old: &[u8]| {
        let this = path.trim_matches('/') == "rtas" && name == service;
        Some(if this { value.to_vec() } else { old.to_vec() })
    };
    Builder::edited(blob, edit)
}

fn refused(blob: &[u8]) -> TokenError {
    match described(blob) {
        Err(MachineError::Rtas(error)) => *error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn real_trees_name_each_service_by_a_token_of_its_own() {
    for blob in REAL {
        described(blob).unwrap();
        assert!(services(blob).len() > 30);
    }
}

#[test]
fn any_two_services_with_one_token_end_the_boot() {
    case!("RTA-01", Halt);
    let all = services(REAL[0]);
    for (index, (one, token)) in all.iter().enumerate() {
        for (other, _) in all.iter().skip(index + 1) {
            let error = refused(&with(REAL[0], other, &token.to_be_bytes()));
            match error {
                TokenError::Shared(a, b, shared) => {
                    assert_eq!(shared, *token);
                    assert!((a == **one && b == **other) || (a == **other && b == **one), "{a} {b}");
                }
                TokenError::Reserved(name, reserved) => assert!(name == **other && reserved == *token),
                error => panic!("{error:?}"),
            }
        }
    }
}

#[test]
fn a_token_of_zero_or_of_another_size_ends_the_boot() {
    case!("RTA-02", Halt);
    for (name, _) in services(REAL[0]) {
        assert_eq!(refused(&with(REAL[0], &name, &[0; 4])), TokenError::Zero(HostText::new(name.as_bytes())));
    }
    for name in
        CALLED.iter().chain(&HANDLED).filter(|name| services(REAL[0]).iter().any(|(n, _)| n == **name))
    {
        for value in [&[][..], &[0, 0, 0x20], &[0, 0, 0x20, 0x06, 0, 0, 0, 1]] {
            let error = refused(&with(REAL[0], name, value));
            assert_eq!(error, TokenError::NotOneWord(HostText::new(name.as_bytes())));
        }
    }
}

#[test]
fn more_services_than_can_be_compared_end_the_boot() {
    case!("RTA-06", Halt);
    let with = |count: u32| {
        let tree = Builder::new().node("").node("rtas");
        let token = |tree: Builder, n: u32| tree.cells(&std::format!("s{n}"), &[0x10_0000 + n]);
        (0..count).fold(tree, token).end().end().blob()
    };
    let checked = |blob: &[u8]| {
        let tree = Tree::check(blob).unwrap();
        check(read::node_at(&tree, "/rtas").unwrap())
    };
    assert_eq!(checked(&with(512)), Ok(()));
    assert_eq!(checked(&with(513)), Err(TokenError::TooMany(512).into()));
}

#[test]
fn an_exit_by_number_calls_nothing_else() {
    case!("RTA-03", Halt);
    for (number, own) in [(POWER_OFF, "power-off"), (OS_TERM, "ibm,os-term")] {
        for (name, _) in services(REAL[0]).into_iter().filter(|(name, _)| name != own) {
            // The service whose number it is has another one.
            let moved = with(REAL[0], own, &0x7777_u32.to_be_bytes());
            let error = refused(&with(&moved, &name, &number.to_be_bytes()));
            assert_eq!(error, TokenError::Reserved(HostText::new(name.as_bytes()), number));
        }
    }
}

proptest! {
    #[test]
    fn services_that_are_accepted_are_called_by_tokens_of_their_own(
        tokens in proptest::collection::vec(0u32..8, 2..6),
        unknown in proptest::bool::ANY,
    ) {
        let names = ["start-cpu", "ibm,set-xive", "ibm,int-off", "event-scan", "ibm,read-pci-config", "nvram-store"];
        let mut blob = REAL[0].to_vec();
        for (name, token) in names.iter().zip(&tokens) {
            blob = with(&blob, name, &(0x5000 + token).to_be_bytes());
        }
        if unknown {
            blob = with(&blob, "ibm,get-xive", &0x5000_u32.to_be_bytes());
        }
        let mut all: Vec<u32> = tokens.iter().map(|token| 0x5000 + token).chain(unknown.then_some(0x5000)).collect();
        all.sort_unstable();
        let distinct = all.array_windows().all(|[one, other]| one != other);
        prop_assert!(described(&blob).is_ok() == distinct);
    }
}

#[test]
fn services_that_the_kernel_asks_have_a_token_in_each_real_tree_and_take_no_address() {
    for blob in REAL {
        let machine = described(blob).unwrap();
        for service in Service::ALL {
            assert!(CALLED.contains(&service.name()), "{service:?}");
            let there = services(blob).into_iter().find(|(name, _)| name == service.name());
            assert_eq!(machine.rtas.token(service.name()), there.map(|(_, token)| token), "{service:?}");
        }
        // Handlers that the published ultravisor gives an address to (`svm/svm-rtas-hdlr.c`), and QEMU's.
        let with_address = ["start-cpu", "ibm,nmi-register", "ibm,os-term", "ibm,configure-connector"];
        assert!(Service::ALL.iter().all(|service| !with_address.contains(&service.name())));
    }
}
