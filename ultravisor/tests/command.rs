//! The command's errors before a guest can begin.

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

/// A file below the crate of blobs: keys of tests.
fn key(name: &str) -> String {
    format!("{}/../esm-blob/tests/data/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

/// What the command says on standard output, if it ends with this status.
fn says(status: i32, arguments: &[&str]) -> String {
    let output = command(arguments);
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}{errors}");
    said.into_owned()
}

#[test]
fn a_blob_is_made_shown_and_compared_with_what_boots() {
    let (kernel, folder) = (kernel(), tempfile::tempdir().expect("folder"));
    let path = |name: &str| folder.path().join(name).to_str().expect("name").to_owned();
    std::fs::write(path("initrd"), "an initrd").expect("initrd");
    std::fs::write(path("secret"), "for the guest alone").expect("secret");
    let kernel = kernel.path().to_str().expect("name");
    let (machine, other, out) = (key("machine"), key("other"), path("out"));
    let (initrd, file) = (path("initrd"), format!("disk-key={}", path("secret")));
    let make = [
        "blob",
        "make",
        "--kernel",
        kernel,
        "--append",
        "svm=on",
        "--initrd",
        &initrd,
        "--origin",
        &other,
        "--to",
        &machine,
        "--file",
        &file,
        "--comment",
        "a test",
        "--out",
        &out,
    ];
    assert_eq!(says(0, &make), "");
    assert!(std::fs::read(&out).expect("out").ends_with(b"an initrd"));

    let shown = says(0, &["blob", "show", &out]);
    for line in
        ["origin-lockbox: for the key", "lockbox-1: for the key", "(a test)", "file disk-key: 19 bytes"]
    {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(!shown.contains("SHA-512"), "{shown}");
    for key in [&machine, &other] {
        let shown = says(0, &["blob", "show", &out, "--key", key]);
        assert!(
            shown.contains(&format!("initrd: SHA-512 {}", postern_ultravisor::image::sha512(b"an initrd")))
        );
    }

    let verify = |status, append: &str| {
        says(status, &["blob", "verify", &out, "--kernel", kernel, "--append", append, "--key", &machine])
    };
    assert_eq!(
        verify(0, "svm=on"),
        "kernel: equal\ncommand line: equal\ninitrd: equal\nRTAS text: equal\nkernel-size: equal\n"
    );
    assert!(verify(3, "svm=off").contains("command line: DIFFERENT\n"));
    let mut bytes = std::fs::read(&out).expect("out");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&out, bytes).expect("out");
    assert!(verify(3, "svm=on").contains("initrd: DIFFERENT\n"));

    // An existing file is not overwritten, and a file that is no blob is named.
    let (status, said) = ends(&make);
    assert_eq!(status, Some(125), "{said}");
    let (status, said) = ends(&["blob", "show", &initrd]);
    assert!(status == Some(125) && said.contains(&initrd), "{said}");
    let (status, said) = ends(&["blob", "show", &out, "--key", &initrd]);
    assert!(status == Some(125) && said.contains(&initrd), "{said}");
}
