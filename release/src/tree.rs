//! Reads `cargo tree`'s output: every package of an image or of its build, and each package's dependencies.

use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// A name and a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// The crate.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A package in the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its licence, as an SPDX expression; empty if it states none.
    pub licence: String,
    /// Whether it only runs in the compiler: a procedural macro, or a dependency of procedural macros only.
    pub only_builds: bool,
    /// Its dependencies.
    pub needs: BTreeSet<Package>,
}

/// Every package, and the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The image's crate.
    pub root: Package,
    /// All packages, including the root.
    pub nodes: BTreeMap<Package, Node>,
}

/// An error in `cargo tree`'s output.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TreeError {
    /// It is not `DEPTHNAME vVERSION ...|LICENCE`.
    #[error("not a line of cargo tree: {0}")]
    Line(String),
    /// No line before it is one level higher.
    #[error("no package above: {0}")]
    Orphan(String),
    /// The output is empty.
    #[error("cargo tree said nothing")]
    Empty,
}

/// Reads the lines of `cargo tree --prefix depth --no-dedupe --format '{p}|{l}'`.
pub fn read(text: &str) -> Result<Tree, TreeError> {
    let mut nodes: BTreeMap<Package, Node> = BTreeMap::new();
    // The packages from the root to the previous line, and whether each only builds.
    let mut above: Vec<(Package, bool)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (depth, package, macros, licence) =
            parse(line).ok_or_else(|| TreeError::Line(line.to_owned()))?;
        if depth > above.len() || (depth == 0 && !nodes.is_empty()) {
            return Err(TreeError::Orphan(line.to_owned()));
        }
        above.truncate(depth);
        let only_builds = macros || above.last().is_some_and(|(_, only_builds)| *only_builds);
        if let Some((parent, _)) = above.last() {
            nodes.entry(parent.clone()).or_default().needs.insert(package.clone());
        }
        let first = !nodes.contains_key(&package);
        let node = nodes.entry(package.clone()).or_default();
        node.licence = licence;
        node.only_builds = only_builds && (first || node.only_builds);
        above.push((package, only_builds));
    }
    let root = above.first().map(|(root, _)| root.clone()).ok_or(TreeError::Empty)?;
    Ok(Tree { root, nodes })
}

/// Depth, package, whether it is a procedural macro, licence.
fn parse(line: &str) -> Option<(usize, Package, bool, String)> {
    let (package, licence) = line.split_once('|')?;
    let name = package.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let depth = package.get(..package.len() - name.len())?.parse().ok()?;
    let mut words = name.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let macros = words.any(|word| word == "(proc-macro)");
    // The old form of a licence expression.
    let licence = licence.replace('/', " OR ");
    Some((depth, Package { name: name.to_owned(), version: version.to_owned() }, macros, licence))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0image v0.1.0 (/some/folder)|MIT OR Apache-2.0\n1log v0.4.35|MIT/Apache-2.0\n\
                        1error v2.0.0|MIT\n2error-impl v2.0.0 (proc-macro)|MIT\n3quote v1.0.0|MIT\n3log v0.4.35|MIT\n";

    fn package(name: &str, version: &str) -> Package {
        Package { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn each_package_has_its_licence_and_what_it_needs() {
        let tree = read(TEXT).unwrap();
        assert_eq!(tree.root, package("image", "0.1.0"));
        assert_eq!(tree.nodes.len(), 5);
        let needs = &tree.nodes[&tree.root].needs;
        assert_eq!(*needs, [package("log", "0.4.35"), package("error", "2.0.0")].into());
        assert_eq!(tree.nodes[&package("error-impl", "2.0.0")].needs.len(), 2);
        assert_eq!(
            read("0a v1|MIT/Apache-2.0").unwrap().nodes[&package("a", "1")].licence,
            "MIT OR Apache-2.0"
        );
    }

    #[test]
    fn packages_that_only_macros_need_are_no_part_of_the_image() {
        let tree = read(TEXT).unwrap();
        let only_builds = |name, version| tree.nodes[&package(name, version)].only_builds;
        assert!(only_builds("error-impl", "2.0.0") && only_builds("quote", "1.0.0"));
        // Both a macro and the image need it.
        assert!(!only_builds("log", "0.4.35") && !only_builds("error", "2.0.0"));
        let other_order = "0image v1|MIT\n1m v1 (proc-macro)|MIT\n2log v1|MIT\n1log v1|MIT\n";
        assert!(!read(other_order).unwrap().nodes[&package("log", "1")].only_builds);
    }

    #[test]
    fn other_text_is_refused_by_its_line() {
        assert_eq!(read(""), Err(TreeError::Empty));
        for line in ["image v0.1.0|MIT", "0image 0.1.0|MIT", "0image v0.1.0", "error: no such package"] {
            assert_eq!(read(line), Err(TreeError::Line(line.to_owned())));
        }
        assert_eq!(read("0a v1|MIT\n2b v1|MIT"), Err(TreeError::Orphan("2b v1|MIT".to_owned())));
        assert_eq!(read("0a v1|MIT\n0b v1|MIT"), Err(TreeError::Orphan("0b v1|MIT".to_owned())));
    }
}
