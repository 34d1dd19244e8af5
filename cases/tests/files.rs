//! Each file of source is part of a crate: a file without a `mod` is never compiled, and its tests never run.

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// The folders of a crate in which each file is a root of its own.
const ROOTS: [&str; 4] = ["tests", "examples", "bin", "fuzz_targets"];

fn sources(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        let is_link = entry.file_type().unwrap().is_symlink();
        if path.is_dir() && !is_link && name != "target" && name != "build" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.insert(path);
        }
    }
}

fn is_root(file: &Path) -> bool {
    let name = file.file_name().unwrap();
    let folder = file.parent().unwrap().file_name().unwrap();
    ["lib.rs", "main.rs", "build.rs"].iter().any(|root| name == *root)
        || ROOTS.iter().any(|root| folder == *root)
}

/// The files that `mod name;` or `#[path = "..."]` in `file` may mean.
fn named_by(file: &Path) -> Vec<PathBuf> {
    let text = read_to_string(file).unwrap();
    let folder = file.parent().unwrap();
    let children = if is_root(file) || file.ends_with("mod.rs") {
        folder.to_path_buf()
    } else {
        file.with_extension("")
    };
    let modules = text.lines().filter_map(|line| {
        let (visibility, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
        (visibility.is_empty() || visibility.starts_with("pub")).then(|| children.join(name))
    });
    let modules = modules.flat_map(|module| [module.with_extension("rs"), module.join("mod.rs")]);
    let paths = text.split("path = \"").skip(1).filter_map(|rest| Some(folder.join(rest.split_once('"')?.0)));
    modules.chain(paths).filter_map(|path| path.canonicalize().ok()).collect()
}

#[test]
fn each_source_file_is_part_of_a_crate() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let mut files = BTreeSet::new();
    sources(&top, &mut files);
    let named: BTreeSet<_> = files.iter().flat_map(|file| named_by(file)).collect();
    let orphans: Vec<_> = files.iter().filter(|file| !is_root(file) && !named.contains(*file)).collect();
    assert!(files.len() > 500 && orphans.is_empty(), "no `mod` names these: {orphans:?}");
}
