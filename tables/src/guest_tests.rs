//! The tests of the registry.

use workloads::registry::TESTS;

/// The file, which is generated as a whole.
pub const FILE: &str = "docs/tests.tsv";

/// A line for each test: its name, its requirements, its purpose.
pub fn table() -> String {
    let mut table = "# name\trequires\tshows\n".to_owned();
    for entry in TESTS {
        let requires: Vec<String> = entry.requires.iter().map(ToString::to_string).collect();
        let requires = if requires.is_empty() { "nothing".to_owned() } else { requires.join("; ") };
        table += &format!("{}\t{requires}\t{}\n", entry.name, entry.shows);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::table;
    use workloads::registry::TESTS;

    #[test]
    fn each_test_is_a_line_of_three_fields() {
        let table = table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), TESTS.len() + 1);
        assert!(
            lines.iter().all(|line| line.split('\t').filter(|field| !field.is_empty()).count() == 3),
            "{table}"
        );
    }
}
