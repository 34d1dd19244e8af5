//! No cycle of modules inside a crate has more than two files.
//!
//! A file depends on the files that its paths name: `use` declarations, and paths in code that begin with `crate`, `self`,
//! `super` or a module of the file. A re-exported name counts for the file that defines it. Methods that another file
//! implements are not detected.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// The crates' folders, each with `src`.
const CRATES: [&str; 22] = [
    "adversary",
    "bench",
    "boot",
    "cases",
    "crates/netstack",
    "crates/papr",
    "crates/postern-core",
    "crates/pseries-tree",
    "crates/status-page",
    "crates/svm-dma",
    "crates/testkit",
    "crates/virtio-pci",
    "crates/workloads",
    "esm-blob",
    "harness",
    "kernel",
    "kernel/arch",
    "kernel/test",
    "kernel/virtio-drivers",
    "release",
    "tables",
    "ultravisor",
];

/// A module's path inside its crate; empty for the root.
type Module = Vec<String>;

/// A name that a file imports with `use`.
struct Import {
    name: String,
    path: Vec<String>,
    public: bool,
}

struct File {
    path: PathBuf,
    imports: Vec<Import>,
    /// Paths in code, each with two or more parts.
    paths: BTreeSet<Vec<String>>,
    /// Every word outside of `use`.
    words: BTreeSet<String>,
}

type Crate = BTreeMap<Module, File>;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text without comments, strings, characters and modules of tests.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap();
    let text = text.split("#[cfg(all(test").next().unwrap();
    let (mut code, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let end = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                end
            });
            end.map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find("'").unwrap() + 2
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skip..];
    }
    code
}

/// Words and punctuation marks; `::` is one token.
fn tokens(code: &str) -> Vec<String> {
    let (mut tokens, mut rest) = (Vec::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let len = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(rest[..len].to_owned());
        rest = rest[len..].trim_start();
    }
    tokens
}

/// The names of a tree of `use`, whose first token is at `at`; returns its end.
fn use_tree(
    tokens: &[String],
    mut at: usize,
    prefix: &[String],
    public: bool,
    found: &mut Vec<Import>,
) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens[at].as_str() {
            "{" => {
                at += 1;
                while tokens[at] != "}" {
                    at = use_tree(tokens, at, &path, public, found);
                    if tokens[at] == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "::" => {}
            "," | ";" | "}" => {
                let path = if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                    path[..path.len() - 1].to_vec()
                } else {
                    path
                };
                if let Some(name) = path.last().cloned() {
                    found.push(Import { name, path, public });
                }
                return at;
            }
            "as" => {
                found.push(Import { name: tokens[at + 1].clone(), path, public });
                return at + 2;
            }
            word => path.push(word.to_owned()),
        }
        at += 1;
    }
}

fn file(path: &Path) -> File {
    let tokens = tokens(&code_of(&read_to_string(path).unwrap()));
    let (mut imports, mut paths, mut words) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" && tokens.get(at + 1).is_some_and(|next| next != "<") {
            // `pub`, `pub(super)`, `pub(crate)`.
            let public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
            at = use_tree(&tokens, at + 1, &[], public, &mut imports);
        } else if tokens.get(at + 1).is_some_and(|next| next == "::") && (at == 0 || tokens[at - 1] != "::") {
            let mut path = vec![tokens[at].clone()];
            while tokens.get(at + 1).is_some_and(|next| next == "::") && at + 2 < tokens.len() {
                path.push(tokens[at + 2].clone());
                at += 2;
            }
            words.insert(path[0].clone());
            paths.insert(path);
            at += 1;
        } else {
            words.insert(tokens[at].clone());
            at += 1;
        }
    }
    File { path: path.to_owned(), imports, paths, words }
}

/// Each file below `folder` as a module.
fn modules(folder: &Path, prefix: &Module, found: &mut Crate) {
    for entry in read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if ["tests", "bin"].contains(&stem.as_str()) {
            continue;
        }
        let mut module = prefix.clone();
        if path.is_dir() {
            module.push(stem);
            modules(&path, &module, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // A crate with a library and a command: the command's root uses the library as another crate.
            let is_root = prefix.is_empty() && ["lib", "main"].contains(&stem.as_str());
            if is_root && stem == "main" && folder.join("lib.rs").exists() {
                continue;
            }
            if !is_root && stem != "mod" {
                module.push(stem);
            }
            found.insert(module, file(&path));
        }
    }
}

/// The module that defines what `path`, written in the module `at`, names; `None` for another crate's.
fn resolve(all: &Crate, at: &Module, path: &[String], depth: usize) -> Option<Module> {
    let mut module = at.clone();
    let mut parts = path.iter();
    let first = path.first()?;
    match first.as_str() {
        "crate" => module.clear(),
        "self" => {}
        "super" => {
            module.pop()?;
        }
        _ => {
            let mut child = at.clone();
            child.push(first.clone());
            if all.contains_key(&child) {
                module = child;
            } else {
                let import = all.get(at)?.imports.iter().find(|import| import.name == *first)?;
                if depth > 8 || import.path.first() == Some(first) {
                    return None;
                }
                let mut whole = import.path.clone();
                whole.extend(path[1..].iter().cloned());
                return resolve(all, at, &whole, depth + 1);
            }
        }
    }
    parts.next();
    while let Some(part) = parts.next() {
        if part == "super" {
            module.pop()?;
            continue;
        }
        let mut child = module.clone();
        child.push(part.clone());
        if all.contains_key(&child) {
            module = child;
            continue;
        }
        // Not a module: defined or imported there.
        let import =
            all.get(&module).and_then(|file| file.imports.iter().find(|import| import.name == *part));
        return match import {
            Some(import) if depth < 8 => {
                let mut whole = import.path.clone();
                whole.extend(parts.cloned());
                resolve(all, &module, &whole, depth + 1)
            }
            _ => Some(module),
        };
    }
    Some(module)
}

fn dependencies(all: &Crate) -> BTreeMap<&Module, BTreeSet<Module>> {
    let of = |(module, file): (_, &File)| -> BTreeSet<Module> {
        // A name that is only re-exported is not a dependency.
        let used = file.imports.iter().filter(|import| !import.public || file.words.contains(&import.name));
        let paths = used.map(|import| &import.path).chain(&file.paths);
        paths.filter_map(|path| resolve(all, module, path, 0)).filter(|target| target != module).collect()
    };
    all.iter().map(|(module, file)| (module, of((module, file)))).collect()
}

fn reach<'a>(graph: &'a BTreeMap<&Module, BTreeSet<Module>>, from: &'a Module) -> BTreeSet<&'a Module> {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(module) = left.pop() {
        for next in graph.get(module).into_iter().flatten() {
            if seen.insert(next) {
                left.push(next);
            }
        }
    }
    seen
}

/// The dependencies of each cycle of more than two files.
fn circles(all: &Crate) -> Vec<Vec<String>> {
    let graph = dependencies(all);
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        graph.keys().map(|module| (*module, reach(&graph, module))).collect();
    let circle = |module: &&Module| -> BTreeSet<&Module> {
        reached[*module].iter().filter(|other| reached[**other].contains(*module)).copied().collect()
    };
    let shown = |module: &Module| all[module].path.strip_prefix(top()).unwrap().display().to_string();
    let circles: BTreeSet<_> = graph.keys().map(circle).filter(|circle| circle.len() > 2).collect();
    let arrows = |circle: &BTreeSet<&Module>| {
        let from = circle.iter().flat_map(|from| graph[from].iter().map(move |to| (*from, to)));
        from.filter(|(_, to)| circle.contains(to))
            .map(|(from, to)| format!("{} -> {}", shown(from), shown(to)))
            .collect()
    };
    circles.iter().map(arrows).collect()
}

#[test]
fn no_circle_of_modules_is_larger_than_two_files() {
    let mut found = Vec::new();
    for name in CRATES {
        let mut all = Crate::new();
        modules(&top().join(name).join("src"), &Vec::new(), &mut all);
        assert!(!all.is_empty(), "{name}");
        found.extend(circles(&all));
    }
    assert!(found.is_empty(), "{} circles: {found:#?}", found.len());
}

#[test]
fn a_circle_is_found_whichever_way_the_files_name_each_other() {
    let of = |text: &str| {
        let folder = std::env::temp_dir().join(format!("postern-modules-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file.rs");
        std::fs::write(&path, text).unwrap();
        let file = file(&path);
        std::fs::remove_dir_all(&folder).unwrap();
        file
    };
    let graph = |c: &str| {
        let files = [
            ("", "mod a; mod b; mod c; pub use c::{self as other, C};"),
            ("a", "use super::b::{self, B}; // crate::c::C"),
            ("b", "fn b() -> &'static str { let _ = crate::C; \"super::a::A\" }"),
            ("c", c),
        ];
        let name = |name: &str| name.split_terminator("::").map(str::to_owned).collect::<Module>();
        let all: Crate = files.iter().map(|(module, text)| (name(module), of(text))).collect();
        let graph = dependencies(&all);
        let from = vec!["a".to_owned()];
        reach(&graph, &from).contains(&from)
    };
    for c in ["use crate::a::A;", "use super::a;", "fn c() { crate::a::a(); }"] {
        assert!(graph(c), "{c}");
    }
    for c in [
        "",
        "// use crate::a::A;",
        "const C: &str = \"crate::a\";",
        "#[cfg(test)] mod tests { use crate::a; }",
    ] {
        assert!(!graph(c), "{c}");
    }
}
