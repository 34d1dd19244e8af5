//! The command's errors.

use std::process::{Command, Output};

fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern-adversary"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

#[test]
fn all_violations_are_listed_with_their_descriptions() {
    let output = command(&["lies"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert_eq!(said.lines().count(), postern_adversary::violation::ProtocolViolation::ALL.len());
    assert!(said.contains("rng-11-back") && said.contains("used index goes back"), "{said}");
}

#[test]
fn an_unknown_violation_is_status_2_and_a_missing_image_125() {
    let unknown = command(&["net", "--socket", "s", "--lie", "rng-99"]);
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(unknown.status.code() == Some(2) && said.contains("blk-05-huge"), "{said}");
    let missing = command(&["blk", "--socket", "s", "--image", "/nowhere/disk"]);
    assert_eq!(missing.status.code(), Some(125), "{}", String::from_utf8_lossy(&missing.stderr));
}
