//! Reads the checksums of packages from `Cargo.lock`.

use std::collections::BTreeMap;

/// The SHA-256 of each package's archive, by name and version. A package of this project is an entry without a checksum.
pub fn checksums(lock: &str) -> BTreeMap<(String, String), Option<String>> {
    let entries = lock.split("[[package]]").skip(1).map(|entry| {
        let field = |name: &str| {
            let value = entry.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")));
            value.and_then(|value| value.strip_suffix('"')).map(str::to_owned)
        };
        let of = |name| field(name).unwrap_or_default();
        ((of("name"), of("version")), field("checksum"))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::checksums;

    #[test]
    fn packages_of_a_registry_have_a_checksum_and_those_of_the_project_none() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\n\
                    checksum = \"12ab\"\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";
        let key = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let all = checksums(lock);
        assert_eq!(all.len(), 2);
        assert_eq!(all[&key("a", "1.0.0")].as_deref(), Some("12ab"));
        assert_eq!(all[&key("b", "0.1.0")], None);
    }
}
