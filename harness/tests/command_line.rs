//! The program as users call it, with a shell script in place of QEMU: each error has one clear line and the right exit
//! status, and no process or file is left behind.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A directory with a dummy kernel and a script in place of QEMU.
struct Stage {
    dir: TempDir,
}

impl Stage {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("kernel"), "no kernel").unwrap();
        let qemu = dir.path().join("qemu");
        fs::write(&qemu, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postern-harness"));
        command.current_dir(self.dir.path()).env("TMPDIR", self.path("tmp"));
        command.args(["run", "KERNEL=kernel", "QEMU=./qemu", "SVM=off", "NET=none"]).args(words);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn assert_nothing_left(&self) {
        let left: Vec<_> =
            fs::read_dir(self.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A minimal little-endian ppc64 ELF file with one segment.
fn least_elf() -> Vec<u8> {
    let mut file = vec![0; 64 + 56 + 4];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    for (at, value) in [(18, 21), (32, 64), (54, 56), (56, 1), (64, 1), (64 + 8, 120), (64 + 32, 4)] {
        file[at] = value;
    }
    file
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn wait(child: &mut Child) -> i32 {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap();
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, name: &str) {
    let kill = format!("kill {name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[test]
fn a_guest_that_succeeds_sets_the_status_and_its_console_is_shown() {
    let stage = Stage::new("echo 'postern: mode=normal'; echo 'EXIT: STATUS=0'");
    let output = stage.run(&[]);
    assert_eq!(text(&output.stdout), "postern: mode=normal\nEXIT: STATUS=0\n");
    assert_eq!((text(&output.stderr), output.status.code()), ("", Some(0)));
    stage.assert_nothing_left();
}

#[test]
fn a_failing_guest_passes_its_status_on_and_its_log_is_kept() {
    let stage = Stage::new("echo 'EXIT: STATUS=7'; exit 1");
    let output = stage.run(&[]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(text(&output.stderr), "postern: console log kept in build/logs/run.log\n");
    assert_eq!(fs::read_to_string(stage.path("build/logs/run.log")).unwrap(), "EXIT: STATUS=7\n");
}

#[test]
fn a_guest_that_claims_success_while_qemu_fails_is_not_believed() {
    let stage = Stage::new("echo 'EXIT: STATUS=0'; exit 1");
    let output = stage.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("QEMU exited with 1, expected: QEMU exited with 0"));
}

#[test]
fn a_wrong_digest_is_not_believed() {
    let stage = Stage::new(
        "echo 'postern: blk0.sha256_1m=0000000000000000000000000000000000000000000000000000000000000000'; echo 'EXIT: STATUS=0'",
    );
    let output = stage.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with(
        "postern: blk0.sha256_1m=0000000000000000000000000000000000000000000000000000000000000000, expected "
    ));
}

#[test]
fn a_qemu_that_dies_is_one_line_with_its_last_message() {
    let stage = Stage::new("echo 'cannot set up guest memory' >&2; exit 1");
    let output = stage.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let line = "postern: QEMU exited with 1 before the guest said how it ended: cannot set up guest memory";
    assert!(text(&output.stderr).lines().any(|l| l == line), "{}", text(&output.stderr));
}

#[test]
fn a_qemu_that_dies_before_the_ultravisor_could_attach_is_one_line() {
    let stage = Stage::new("echo 'no such machine' >&2; exit 1");
    let output = stage.run(&["SVM=on"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "no such machine\npostern: QEMU did not start: no such machine\n");
    stage.assert_nothing_left();
}

#[test]
fn a_qemu_that_dies_after_its_gdb_server_opened_is_reported_with_all_its_messages() {
    // The socket appears and disappears: QEMU makes it before it reads the rest of its command line.
    let script = "for word; do case $word in *id=gdb,*path=*) socket=${word##*path=};; esac; done\n\
                  touch $socket; sleep 0.2; rm $socket; sleep 0.5; echo 'bogus: no such option' >&2\n\
                  echo 'try another' >&2; exit 1";
    let stage = Stage::new(script);
    fs::write(stage.path("kernel"), least_elf()).unwrap();
    let started = Instant::now();
    let output = stage.run(&["SVM=on"]);
    assert_eq!(output.status.code(), Some(1));
    let words = "bogus: no such option\ntry another\npostern: QEMU did not start: try another\n";
    assert_eq!(text(&output.stderr), words);
    assert!(started.elapsed() < Duration::from_secs(100), "not told before the timeout with a socket ended");
    stage.assert_nothing_left();
}

#[test]
fn input_from_a_pipe_reaches_the_guest_once_its_kernel_is_up() {
    let script = "sleep 0.3; echo firmware; if read -t 0.2 early; then echo \"early $early\"; fi\n\
                  echo 'postern: mode=normal'; read word; echo \"got $word\"; echo 'EXIT: STATUS=0'";
    let stage = Stage::new(&format!("exec bash -c '{}'", script.replace('\'', "'\\''")));
    let mut child = stage.command(&[]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"q\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "firmware\npostern: mode=normal\ngot q\nEXIT: STATUS=0\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn missing_programs_and_files_are_one_line() {
    let stage = Stage::new("");
    for (word, line) in [
        ("QEMU=no-such-qemu", "no-such-qemu: not found; `make setup` installs it, QEMU= names another"),
        ("KERNEL=no-such-kernel", "no-such-kernel: not found; `make image` builds it"),
    ] {
        let output = stage.run(&[word]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stderr), format!("postern: {line}\n"));
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn a_bad_variable_is_one_line_and_starts_nothing() {
    let stage = Stage::new("touch started");
    for (word, line) in [
        ("FIRMWARE=uefi", "FIRMWARE=uefi: expected slof, vof or bios"),
        ("DISK=/no/disk", "DISK=/no/disk: expected the path of an existing file"),
        ("SMP=0", "SMP=0: expected a number of vCPUs from 1 to 64"),
    ] {
        let output = stage.run(&[word]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stderr), format!("postern: {line}\n"));
    }
    assert!(!stage.path("started").exists());
}

#[test]
fn a_guest_that_does_not_end_is_ended() {
    let stage = Stage::new("echo $$ >pid; exec sleep 600");
    let output = stage.run(&["TIMEOUT=1"]);
    assert_eq!(output.status.code(), Some(124));
    let line = "postern: the guest did not end within 1 s; TIMEOUT= sets another limit\n";
    assert!(text(&output.stderr).starts_with(line), "{}", text(&output.stderr));
    assert_gone(&stage.path("pid"));
    stage.assert_nothing_left();
}

#[test]
fn ctrl_c_and_termination_are_one_line_and_leave_nothing() {
    for name in ["-INT", "-TERM"] {
        let stage = Stage::new("echo $$ >pid; exec sleep 600");
        let mut child = stage.command(&[]).stderr(Stdio::piped()).spawn().unwrap();
        await_file(&stage.path("pid"));
        // Once from the terminal, once through make.
        signal(&child, name);
        signal(&child, name);
        assert_eq!(wait(&mut child), 130);
        let output = child.wait_with_output().unwrap();
        assert_eq!(text(&output.stderr), "postern: interrupted\n");
        assert_gone(&stage.path("pid"));
        stage.assert_nothing_left();
    }
}

#[test]
fn a_runner_that_is_killed_takes_qemu_with_it() {
    let stage = Stage::new("echo $$ >pid; exec sleep 600");
    let mut child = stage.command(&[]).spawn().unwrap();
    await_file(&stage.path("pid"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_gone(&stage.path("pid"));
}

#[test]
fn a_user_s_disk_is_opened_as_a_snapshot_unless_disk_write_is_yes() {
    let stage = Stage::new("echo \"$@\"; echo 'EXIT: STATUS=0'");
    fs::write(stage.path("my disk"), [7; 4096]).unwrap();
    let output = stage.run(&["DISK=my disk"]);
    assert!(text(&output.stdout).contains("format=raw,snapshot=on,readonly=off,file=my disk"));
    let output = stage.run(&["DISK=my disk", "DISK_WRITE=yes"]);
    assert!(text(&output.stdout).contains("format=raw,snapshot=off,readonly=off,file=my disk"));
}

#[test]
fn boot_tests_are_counted_and_a_failure_sets_the_status() {
    let stage = Stage::new("exit 1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern-harness"));
    command.current_dir(stage.dir.path()).env("TMPDIR", stage.path("tmp"));
    command.args(["test", "KERNEL=kernel", "ROM=kernel", "QEMU=./qemu", "input/run=fly"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).ends_with("failed: input/run=fly\n0 passed, 1 failed\n"));
    assert!(stage.path("build/logs").exists());
    stage.assert_nothing_left();
}

fn await_file(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while fs::read_to_string(path).unwrap_or_default().is_empty() {
        assert!(Instant::now() < deadline, "never started");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The process named in the file has ended; a zombie that init has yet to reap counts as gone.
fn assert_gone(path: &Path) {
    let id = fs::read_to_string(path).unwrap();
    let stat = format!("/proc/{}/stat", id.trim());
    let deadline = Instant::now() + Duration::from_secs(120);
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < deadline, "process {id} is left");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    for (words, status) in
        [(&["list"][..], 0), (&["help"], 0), (&["test", "honesty/nothing/demo", "QEMU=./qemu"], 130)]
    {
        let stage = Stage::new("exit 1");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_postern-harness"));
        command.current_dir(stage.dir.path()).env("TMPDIR", stage.path("tmp")).args(words);
        let output = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), errors.as_ref()), (Some(status), ""), "{words:?}");
        stage.assert_nothing_left();
    }
}

#[test]
fn a_serving_guest_whose_output_has_no_reader_is_ended() {
    let stage = Stage::new("echo $$ >pid; echo 'it serves'; exec sleep 600");
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = stage.command(&["APPEND=run=net-serve"]);
    let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    // Otherwise this process would keep the pipe open, and it would never end.
    drop(command);
    let mut line = [0; 10];
    reader.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"it serves\n");
    drop(reader);
    assert_eq!(wait(&mut child), 130);
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "postern: nobody reads what the guest says\n");
    assert_gone(&stage.path("pid"));
    stage.assert_nothing_left();
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    for words in [&["run", "QEMU=./qemu", "SVM=off", "NET=none", "KERNEL=kernel"][..], &["list"], &["help"]] {
        let stage = Stage::new("echo 'EXIT: STATUS=0'");
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_postern-harness"));
        command.current_dir(stage.dir.path()).env("TMPDIR", stage.path("tmp")).args(words);
        let output = command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(text(&output.stderr).contains("standard output: No space left on device"), "{words:?}");
        stage.assert_nothing_left();
    }
}
