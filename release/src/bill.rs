//! The bill of materials in the format CycloneDX 1.6 (ECMA-424).

use crate::ReleaseError;
use crate::tree::{Package, Tree};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The image of the bill.
#[derive(Debug)]
pub struct About {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// The version of the compiler.
    pub compiler: String,
}

/// SHA-256 of each package's archive; a package of this project has no archive.
type Checksums = BTreeMap<(String, String), Option<String>>;

/// The bill of an image with these packages.
pub fn write(about: &About, tree: &Tree, checksums: &Checksums) -> Result<String, ReleaseError> {
    let mut components = vec![library(about)];
    let mut dependencies = Vec::new();
    for (package, node) in &tree.nodes {
        let needs: Vec<_> = node.needs.iter().map(reference).collect();
        dependencies.push(json!({ "ref": reference(package), "dependsOn": needs }));
        if *package != tree.root {
            components.push(component(package, &node.licence, node.only_builds, checksums)?);
        }
    }
    let image = json!({
        "type": "operating-system",
        "bom-ref": reference(&tree.root),
        "name": about.name,
        "version": tree.root.version,
        "licenses": licences(&tree.nodes[&tree.root].licence),
        "hashes": [{ "alg": "SHA-256", "content": about.digest }],
    });
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": image },
        "components": components,
        "dependencies": dependencies,
    });
    Ok(format!("{bill:#}"))
}

/// The standard library, which comes with the compiler: not a package, but part of every image.
fn library(about: &About) -> Value {
    json!({
        "type": "library",
        "bom-ref": format!("pkg:generic/rust-library@{}", about.compiler),
        "name": "rust-library",
        "description": "core, alloc and compiler_builtins of the Rust compiler",
        "version": about.compiler,
        "licenses": licences("MIT OR Apache-2.0"),
    })
}

fn component(
    package: &Package,
    licence: &str,
    only_builds: bool,
    checksums: &Checksums,
) -> Result<Value, ReleaseError> {
    let Package { name, version } = package;
    let checksum = checksums
        .get(&(name.clone(), version.clone()))
        .ok_or_else(|| ReleaseError::NotLocked(name.clone(), version.clone()))?;
    let mut entry = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": name,
        "version": version,
        // Excluded: it is used in the build and not part of the image.
        "scope": if only_builds { "excluded" } else { "required" },
        "licenses": licences(licence),
    });
    if let Some(checksum) = checksum {
        entry["purl"] = json!(reference(package));
        entry["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    Ok(entry)
}

fn licences(expression: &str) -> Value {
    if expression.is_empty() { json!([]) } else { json!([{ "expression": expression }]) }
}

/// The bill's name of a package: its package URL.
fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lock, tree};

    const TREE: &str = "0image v0.1.0 (/some/folder)|MIT\n1own v0.1.0 (/some/folder/own)|MIT\n1fdt v0.1.5|MPL-2.0\n\
                        1error-impl v2.0.0 (proc-macro)|MIT\n";
    const LOCK: &str = "[[package]]\nname = \"image\"\nversion = \"0.1.0\"\n[[package]]\nname = \"own\"\n\
                        version = \"0.1.0\"\n[[package]]\nname = \"fdt\"\nversion = \"0.1.5\"\nchecksum = \"ab\"\n\
                        [[package]]\nname = \"error-impl\"\nversion = \"2.0.0\"\nchecksum = \"cd\"\n";

    fn about() -> About {
        About { name: "image".into(), digest: "00ff".into(), compiler: "1.96.0".into() }
    }

    #[test]
    fn bill_names_every_package_its_licence_its_archive_and_whether_it_is_in_the_image() {
        let text = write(&about(), &tree::read(TREE).unwrap(), &lock::checksums(LOCK)).unwrap();
        let bill: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], "00ff");
        let components = bill["components"].as_array().unwrap();
        let names: Vec<_> = components.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["rust-library", "error-impl", "fdt", "own"]);
        assert_eq!(components[1]["scope"], "excluded");
        assert_eq!(components[2]["licenses"][0]["expression"], "MPL-2.0");
        assert_eq!(components[2]["hashes"][0]["content"], "ab");
        assert_eq!(components[2]["purl"], "pkg:cargo/fdt@0.1.5");
        assert_eq!(components[3].get("hashes"), None);
        assert!(!text.contains("/some/folder"), "no path of the machine");
    }

    #[test]
    fn package_that_is_not_locked_is_named() {
        let error = write(&about(), &tree::read(TREE).unwrap(), &lock::checksums("")).unwrap_err();
        assert_eq!(error.to_string(), "error-impl 2.0.0 is in the tree, and not in Cargo.lock");
    }
}
