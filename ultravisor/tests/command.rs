//! The command, as a person meets it when something is wrong before a guest can begin.

use std::process::{Command, Output};

fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern-ultravisor"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

/// Status and standard error, of which the last line is the reason.
fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The smallest ELF file that a kernel can be: one segment of four bytes.
fn kernel() -> tempfile::NamedTempFile {
    let mut file = vec![0; 124];
    file[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &[0, 2, 0, 21, 0, 0, 0, 1]);
    put(32, &64_u64.to_be_bytes());
    put(52, &[0, 64, 0, 56, 0, 1]);
    put(64, &[0, 0, 0, 1, 0, 0, 0, 7]);
    put(72, &120_u64.to_be_bytes());
    put(96, &4_u64.to_be_bytes());
    put(104, &4_u64.to_be_bytes());
    let kernel = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(kernel.path(), file).expect("kernel");
    kernel
}

#[test]
fn a_command_line_that_cannot_be_served_is_refused_before_qemu_starts() {
    let kernel = kernel();
    let path = kernel.path().to_str().expect("name");
    for (qemu, reason) in [
        (vec!["false", "-S", "-kernel", path], "-S: is the ultravisor's own"),
        (vec!["false", "-M", "powernv9", "-kernel", path], "only a pseries"),
        (vec!["false", "-m", "1G"], "no -kernel"),
        (vec!["false", "-kernel", "/nowhere/vmlinux"], "kernel file"),
        (vec!["false", "-kernel", "/bin/sh"], "kernel file"),
    ] {
        let (status, said) = ends(&[&["run", "--"], qemu.as_slice()].concat());
        assert_eq!(status, Some(125), "{said}");
        assert!(said.contains(reason) && !said.contains("added"), "{qemu:?}: {said}");
    }
}

#[test]
fn a_qemu_that_ends_at_once_is_named_with_its_status() {
    let kernel = kernel();
    let path = kernel.path().to_str().expect("name");
    let (status, said) = ends(&["run", "--", "false", "-kernel", path]);
    assert_eq!(
        (status, said.lines().last()),
        (Some(125), Some("postern-ultravisor: QEMU ended before its guest began: exit status: 1"),)
    );
    let (status, said) = ends(&["run", "--", "no-such-qemu", "-kernel", path]);
    assert!(status == Some(125) && said.contains("QEMU cannot be started"), "{said}");
}

#[test]
fn what_cannot_be_read_on_its_own_command_line_is_status_2() {
    for arguments in [
        &["run"][..],
        &["walk"],
        &["run", "--faults", "share:1=nonsense", "--", "q"],
        &["run", "--nope", "--", "q"],
    ] {
        let (status, said) = ends(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {said}");
    }
    let help = command(&["run", "--help"]);
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(
        help.status.success() && ["--no-patch", "--json", "--check"].iter().all(|word| text.contains(word))
    );
}
