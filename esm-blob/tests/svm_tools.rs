//! The same blobs, read and made by svm-tools' own Python; and blobs of both, recorded.
//!
//! `SVM_TOOLS` names a copy of open-power/svm-tools; `SVM_TOOLS_PYTHON` a Python that has pycryptodomex, pyyaml and libfdt.
//! Without the first the comparison is skipped. `SVM_TOOLS_RECORD` names a folder for what is recorded.

mod common;

use common::{digests, machine, other, recipe};
use esm_blob::archive::find;
use esm_blob::{Blob, MACHINE_LOCKBOX};
use std::path::Path;
use std::process::Command;

/// svm-tools ask for passphrases and run objcopy and cpio. The kernel of these tests is flat already, and its keys have no
/// passphrase.
const SCRIPT: &str = r#"
import shutil, sys
sys.path.insert(0, sys.argv[1])
from svm_tool.esm import esm
from svm_tool.esm_digest import esm_digest
from svm_tool.svm import svm
import libfdt
esm.read_passphrase = lambda prompt: ''
esm_digest.esmd_objcopy_run = lambda one, two: shutil.copyfile(one, two)
esm.make('theirs.dtb', 'config.yml')
if shutil.which('cpio'):
    svm.main(['add', '-i', 'initrd', '-b', 'theirs.dtb', '-f', 'theirs.initrd'])
# Ours: valid to them, opened by their key, and changed by them.
fdt = libfdt.Fdt(open('ours.dtb', 'rb').read())
esm.valid_esm(fdt)
key = esm.extract_symkey(fdt, 'origin.pem', '')
files = esm.file_fdt_get(fdt)
def opened(fdt, path):
    node = fdt.path_offset(path)
    cipher = esm.AES.new(key, esm.AES.MODE_GCM, nonce=bytes(fdt.getprop(node, 'iv')))
    return cipher.decrypt_and_verify(bytes(fdt.getprop(node, 'ciphertext')), bytes(fdt.getprop(node, 'mac')))
assert opened(files, '/files/disk-key') == b'correct horse battery staple'
theirs = libfdt.Fdt(open('theirs.dtb', 'rb').read())
key_of_ours, key = key, esm.extract_symkey(theirs, 'origin.pem', '')
expected = opened(theirs, '/digest/digests-fdt')
key = key_of_ours
ours, expected = libfdt.Fdt(opened(fdt, '/digest/digests-fdt')), libfdt.Fdt(expected)
for name in ['algorithm', 'kernel', 'kernel-size', 'initrd', 'bootargs', 'rtas']:
    value = [bytes(tree.getprop(tree.path_offset('/digests'), name)) for tree in [ours, expected]]
    assert value[0] == value[1], name
esm.attach('ours.dtb', 'secret', 'added', 'added', 'origin.pem', '')
"#;

#[test]
fn svm_tools_read_ours_and_make_what_ours_reads() {
    let Some(tools) = std::env::var_os("SVM_TOOLS") else {
        eprintln!("skipped: svm-tools: SVM_TOOLS names no copy of open-power/svm-tools");
        return;
    };
    let python = std::env::var_os("SVM_TOOLS_PYTHON").unwrap_or_else(|| "python3".into());
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("write");
    write("origin.pem", other().to_pem().expect("PEM").as_bytes());
    write("origin.pub", other().to_public().pem());
    write("machine.pub", machine().to_public().pem());
    write("kernel", b"kernel");
    write("initrd", b"initrd");
    write("secret", b"a secret of svm-tools'");
    write("ours.dtb", &recipe().make().expect("blob"));
    write(
        "config.yml",
        b"- origin: {pubkey: origin.pub, seckey: origin.pem}\n\
          - recipient: {comment: machine, pubkey: machine.pub}\n\
          - digest: {args: console=hvc0, initramfs: initrd, kernel: kernel}\n\
          - file: {name: file-1, path: secret}\n",
    );
    let ran = Command::new(python)
        .args(["-W", "ignore", "-c", SCRIPT])
        .arg(tools)
        .env("CROSS_COMPILE", "")
        .current_dir(folder.path())
        .output()
        .expect("Python runs");
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );

    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("read");
    let theirs = read("theirs.dtb");
    check(&theirs, &[("file-1", b"a secret of svm-tools'")]);
    check(
        &read("ours.dtb"),
        &[("disk-key", b"correct horse battery staple"), ("added", b"a secret of svm-tools'")],
    );
    let initrd = folder.path().join("theirs.initrd");
    if initrd.exists() {
        let bytes = read("theirs.initrd");
        let found = find(&bytes, 0).expect("found");
        assert_eq!((&bytes[found.blob][..theirs.len()], &bytes[found.initrd]), (&theirs[..], &b"initrd"[..]));
        if let Some(to) = std::env::var_os("SVM_TOOLS_RECORD") {
            std::fs::copy(initrd, Path::new(&to).join("svm-tools.initrd")).expect("copy");
            std::fs::write(Path::new(&to).join("ours.dtb"), recipe().make().expect("blob")).expect("write");
        }
    }
}

/// Both ends' lockboxes, the digests, and these files.
fn check(bytes: &[u8], files: &[(&str, &[u8])]) {
    let blob = Blob::read(bytes).expect("blob");
    let key = blob.open_lockbox(MACHINE_LOCKBOX, &machine()).expect("key");
    assert_eq!(blob.open_lockbox("origin-lockbox", &other()).expect("key"), key);
    // libfdt puts what is added last first.
    for (name, owner) in [("origin-lockbox", other()), (MACHINE_LOCKBOX, machine())] {
        let lockboxes = blob.lockboxes().expect("lockboxes");
        let lockbox = lockboxes.iter().find(|lockbox| lockbox.name == name).expect("lockbox");
        assert_eq!(lockbox.fingerprint, owner.to_public().fingerprint());
    }
    assert_eq!(blob.digests(&key).expect("digests"), digests());
    for (name, content) in files {
        assert_eq!(**blob.files().expect("files").open(name, &key).expect(name), **content);
    }
}

/// svm-tools ac4e8b6 made it of these tests' keys, kernel, command line, initrd and secret.
#[test]
fn a_blob_that_svm_tools_made_is_read() {
    let bytes = include_bytes!("data/svm-tools.initrd");
    let found = find(bytes, 0).expect("found");
    assert_eq!(&bytes[found.initrd], b"initrd");
    check(&bytes[found.blob], &[("file-1", b"a secret of svm-tools'")]);
}

/// Later versions of this crate must read blobs that it made before.
#[test]
fn a_blob_of_this_crate_is_read_later() {
    check(include_bytes!("data/ours.dtb"), &[("disk-key", b"correct horse battery staple"), ("empty", b"")]);
}
