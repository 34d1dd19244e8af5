//! The same blobs, read and made by svm-tools' own Python; and blobs of both, recorded.
//!
//! `SVM_TOOLS` names a copy of open-power/svm-tools; `SVM_TOOLS_PYTHON` a Python that has pycryptodomex, pyyaml and libfdt.
//! Without the first the comparison is skipped. `SVM_TOOLS_RECORD` names a folder for what is recorded.

mod common;

use common::{digests, machine, other, recipe};
use esm_blob::archive::find;
use esm_blob::{Blob, Digests, MACHINE_LOCKBOX, ReadError};
use fdt::Fdt;
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
    assert_eq!(contents(bytes, files).expect("blob"), expected(files));
}

/// What a blob of these tests says: fingerprints of the lockboxes' owners, whether both have the same key, the digests and
/// the files.
type Contents = (Vec<[u8; 32]>, bool, Digests, Vec<Vec<u8>>);

fn expected(files: &[(&str, &[u8])]) -> Contents {
    let owners = [other(), machine()].map(|owner| owner.to_public().fingerprint());
    (owners.to_vec(), true, digests(), files.iter().map(|(_, content)| content.to_vec()).collect())
}

fn contents(bytes: &[u8], files: &[(&str, &[u8])]) -> Result<Contents, ReadError> {
    let blob = Blob::read(bytes)?;
    let key = blob.open_lockbox(MACHINE_LOCKBOX, &machine())?;
    let same = blob.open_lockbox("origin-lockbox", &other())? == key;
    // libfdt puts what is added last first.
    let lockboxes = blob.lockboxes()?;
    let owner =
        |name: &str| lockboxes.iter().find(|lockbox| lockbox.name == name).map(|found| found.fingerprint);
    let owners = ["origin-lockbox", MACHINE_LOCKBOX].into_iter().filter_map(owner).collect();
    let opened = blob.files()?;
    let open = |(name, _): &(&str, &[u8])| opened.open(name, &key).map(|bytes| bytes.to_vec());
    Ok((owners, same, blob.digests(&key)?, files.iter().map(open).collect::<Result<_, _>>()?))
}

/// The properties of a blob, and of the tree of files in it: path, first byte, length.
fn properties(bytes: &[u8], base: usize) -> Vec<(String, usize, usize)> {
    let mut all = Vec::new();
    for node in Fdt::new(bytes).expect("tree").all_nodes() {
        for property in node.properties() {
            let at = property.value.as_ptr() as usize - bytes.as_ptr() as usize;
            match property.name {
                "files-fdt" => all.extend(properties(property.value, base + at)),
                name => all.push((format!("{}/{name}", node.name), base + at, property.value.len())),
            }
        }
    }
    all
}

/// A changed bit in any property of a recorded blob shows, except in those that are not sealed and not used: the comments,
/// and the name of the fingerprint's algorithm.
fn every_bit_counts(bytes: &[u8], files: &[(&str, &[u8])]) {
    let (mut seen, mut unseen) = (0, Vec::new());
    for (name, at, length) in properties(bytes, 0) {
        if length == 0 || name.ends_with("/untrusted-comment") || name == "pubkey-fingerprint/algorithm" {
            continue;
        }
        let mut changed = bytes.to_vec();
        changed[at + length / 2] ^= 1;
        seen += 1;
        if contents(&changed, files).is_ok_and(|contents| contents == expected(files)) {
            unseen.push(name);
        }
    }
    assert_eq!(unseen, Vec::<String>::new());
    // compatible twice, key and fingerprint of two lockboxes, three or four properties of what is sealed, and one algorithm.
    assert!(seen >= 14, "{seen} properties");
}

/// svm-tools ac4e8b6 made it of these tests' keys, kernel, command line, initrd and secret.
#[test]
fn a_blob_that_svm_tools_made_is_read() {
    let bytes = include_bytes!("data/svm-tools.initrd");
    let found = find(bytes, 0).expect("found");
    assert_eq!(&bytes[found.initrd], b"initrd");
    let files: [(&str, &[u8]); 1] = [("file-1", b"a secret of svm-tools'")];
    check(&bytes[found.blob.clone()], &files);
    every_bit_counts(&bytes[found.blob], &files);
}

/// Later versions of this crate must read blobs that it made before.
#[test]
fn a_blob_of_this_crate_is_read_later() {
    let files: [(&str, &[u8]); 2] = [("disk-key", b"correct horse battery staple"), ("empty", b"")];
    check(include_bytes!("data/ours.dtb"), &files);
    every_bit_counts(include_bytes!("data/ours.dtb"), &files);
}
