//! docs/paces.md and docs/limits.md agree with the sources: each value, each test, and all constants are there.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

const TABLES: [&str; 2] = ["docs/paces.md", "docs/limits.md"];
/// Folders with the tables' constants; tests may also be in other folders.
const SOURCES: [&str; 5] = ["crates", "kernel/src", "kernel/arch/src", "kernel/test/src", "boot/src"];
const TESTS: [&str; 4] = ["crates", "kernel", "boot", "harness"];
/// The crate that is in no image.
const DEVELOPMENT: &str = "crates/testkit/";
/// Words in the name of a limit's constant.
const LIMITS: [&str; 4] = ["MAX", "MOST", "LONGEST", "LARGEST"];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The sources' constants: file and name to value.
fn constants() -> BTreeMap<(String, String), String> {
    let mut all = BTreeMap::new();
    for folder in SOURCES {
        let mut files = Vec::new();
        rust_files(&top().join(folder), &mut files);
        for file in files {
            let path = file.strip_prefix(top()).unwrap().to_str().unwrap().to_owned();
            if path.starts_with(DEVELOPMENT) || path.contains("/tests/") || path.contains("/examples/") {
                continue;
            }
            let text = read_to_string(&file).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for line in product.lines().filter(|line| !line.starts_with(' ')) {
                let Some((_, rest)) = line.split_once("const ") else { continue };
                let Some((name, rest)) = rest.split_once(": ") else { continue };
                let Some((_, value)) = rest.split_once(" = ") else { continue };
                let value = value.trim_end_matches(';').to_owned();
                all.insert((path.clone(), name.to_owned()), value);
            }
        }
    }
    all
}

/// The rows of both tables: cells by the heading of their column.
fn rows() -> Vec<BTreeMap<String, String>> {
    let (mut rows, mut headings) = (Vec::new(), Vec::new());
    for table in TABLES {
        for line in read_to_string(top().join(table)).unwrap().lines() {
            if line.starts_with("|---") {
                continue;
            }
            let Some(line) = line.strip_prefix("| ").and_then(|line| line.strip_suffix('|')) else {
                headings.clear();
                continue;
            };
            let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
            if headings.is_empty() {
                headings = cells;
            } else {
                assert_eq!(cells.len(), headings.len(), "{table}: {line}");
                rows.push(headings.iter().cloned().zip(cells).collect());
            }
        }
    }
    rows
}

/// Parses a value of the tables: a number, with or without a unit.
fn written(text: &str) -> Option<u128> {
    let mut words = text.split_whitespace();
    let number: u128 = words.next()?.replace(',', "").parse().ok()?;
    Some(number * unit(words.next().unwrap_or(""))?)
}

fn unit(name: &str) -> Option<u128> {
    Some(match name {
        "" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    })
}

/// Evaluates a value of the sources; times in nanoseconds.
fn evaluated(text: &str) -> Option<u128> {
    let text = text.trim().trim_start_matches("core::time::");
    for (function, unit) in [("from_secs(", "s"), ("from_millis(", "ms"), ("from_micros(", "us")] {
        if let Some(number) = text.strip_prefix("Duration::").and_then(|text| text.strip_prefix(function)) {
            return Some(evaluated(number.strip_suffix(')')?)? * self::unit(unit)?);
        }
    }
    if let Some((left, right)) = text.split_once(" - ") {
        return evaluated(left)?.checked_sub(evaluated(right)?);
    }
    let text = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    if let Some((left, right)) = text.split_once(" << ") {
        return Some(evaluated(left)? << evaluated(right)?);
    }
    if let Some((left, right)) = text.split_once(" * ") {
        return Some(evaluated(left)? * evaluated(right)?);
    }
    let text = text.split(" as ").next()?.replace('_', "");
    match text.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16).ok(),
        None if text == "u32::MAX" => Some(u32::MAX.into()),
        None => text.parse().ok(),
    }
}

/// The constants that a cell names, with their values in the cell.
fn named(cell: &str) -> Vec<((String, String), String)> {
    let (mut found, mut file) = (Vec::new(), String::new());
    let mut parts = cell.split('`').skip(1);
    while let (Some(word), Some(after)) = (parts.next(), parts.next().or(Some(""))) {
        if word.ends_with(".rs") {
            let direct = top().join(word).exists();
            file = if direct { word.to_owned() } else { format!("crates/{word}") };
        } else {
            let value = after.trim().trim_end_matches([',', ';']).to_owned();
            found.push(((file.clone(), word.to_owned()), value));
        }
    }
    found
}

#[test]
fn each_value_of_the_tables_is_that_of_the_sources() {
    let constants = constants();
    let (mut compared, mut wrong) = (0, Vec::new());
    for row in rows() {
        for (name, value) in named(&row["constants"]) {
            let source = constants.get(&name).map_or("nothing", String::as_str);
            let (in_table, in_sources) = (written(&value), evaluated(source));
            if in_table.is_none() || in_table != in_sources {
                wrong.push(format!("{name:?}: {value:?} in the table, {source} in the sources"));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty() && compared > 100, "{compared} compared; {wrong:#?}");
}

#[test]
fn each_test_of_the_tables_exists() {
    let mut files = Vec::new();
    for folder in TESTS {
        rust_files(&top().join(folder), &mut files);
    }
    let sources: Vec<String> = files.iter().map(|file| read_to_string(file).unwrap()).collect();
    let (mut searched, mut missing) = (0, Vec::new());
    for row in rows() {
        for test in row["tests"].split('`').skip(1).step_by(2) {
            // A boot test's name begins with its group.
            let (group, rest) = test.split_once('/').unwrap_or((test, ""));
            let wanted = if rest.is_empty() { format!("fn {test}()") } else { format!("\"{group}/") };
            if !sources.iter().any(|source| source.contains(&wanted)) {
                missing.push(test.to_owned());
            }
            searched += 1;
        }
    }
    assert!(missing.is_empty() && searched > 80, "{searched} searched for; {missing:#?}");
}

#[test]
fn no_time_and_no_limit_of_the_sources_is_left_out() {
    let listed: Vec<(String, String)> =
        rows().iter().flat_map(|row| named(&row["constants"])).map(|(name, _)| name).collect();
    let mut left_out = Vec::new();
    let not_product =
        ["/tests/", "/tests.rs", "/hostile", "/model", "/loom_tests", "/freed.rs", "/bench/other"];
    for (name, value) in constants() {
        let (file, word) = &name;
        if not_product.iter().any(|part| file.contains(part)) {
            continue;
        }
        let limit = !word.ends_with("_AT")
            && word.split('_').any(|part| LIMITS.contains(&part))
            && evaluated(&value).is_some();
        let time = value.contains("Duration::from_");
        if (limit || time) && !listed.contains(&name) {
            left_out.push(format!("{name:?} = {value}"));
        }
    }
    assert!(left_out.is_empty(), "{left_out:#?}");
}
