//! Finds facts that are not in the table. Code states a fact by its name in the table, and only the table's code prints
//! `postern: `; a string with this start elsewhere in an image would be a fact that is in no list.

use std::io;
use std::path::Path;

/// Folders with sources of the images.
const FOLDERS: [&str; 3] = ["boot", "kernel", "crates"];
/// The folder of the facts: code that prints them, and code about such lines that prints none.
const TABLE: &str = "crates/postern-core/src/facts";

/// A line for each string that begins with `postern: ` where none may.
pub fn find(top: &Path) -> io::Result<Vec<String>> {
    let mut strays = Vec::new();
    for folder in FOLDERS {
        scan(top, &top.join(folder), &mut strays)?;
    }
    Ok(strays)
}

fn scan(top: &Path, folder: &Path, strays: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(top).unwrap_or(&path).to_string_lossy().into_owned();
        if path.is_dir() {
            scan(top, &path, strays)?;
        } else if name.ends_with(".rs") && !name.starts_with(TABLE) {
            let text = std::fs::read_to_string(&path)?;
            strays.extend(lines(&text).map(|line| format!("{name}:{line}: a fact is stated past its table")));
        }
    }
    Ok(())
}

/// Numbers of the lines of code with such a string.
fn lines(text: &str) -> impl Iterator<Item = usize> {
    let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter(|(_, line)| line.contains("\"postern: ")).map(|(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn a_printed_fact_is_found_and_a_sentence_about_one_is_not() {
        let text = "/// \"postern: mode=\"\nfn a() {\n    println!(\"postern: mode={}\", 1);\n}\n";
        assert_eq!(lines(text).collect::<Vec<_>>(), [3]);
    }
}
