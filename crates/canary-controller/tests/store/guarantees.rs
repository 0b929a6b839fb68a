//! Each documented guarantee of the store has a test that names it.

use std::{fs, path::Path};

#[test]
fn every_guarantee_has_a_test_that_names_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let docs = [read("src/store.rs"), read("src/store/file/file_store.rs")].concat();
    let guarantees: Vec<&str> = docs
        .lines()
        .filter_map(|line| line.split_once("- **"))
        .filter_map(|(_, guarantee)| guarantee.split([',', '*']).next())
        .filter(|id| id.starts_with(['S', 'F']))
        .collect();
    assert_eq!(guarantees.len(), 18 + 9, "{guarantees:?}");

    let mut tests = String::new();
    for directory in ["src/store/testing", "tests/store", "tests/processes"] {
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                tests += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let words: Vec<&str> = tests.split(|it: char| !it.is_alphanumeric()).collect();
    for id in guarantees {
        assert!(words.contains(&id), "no test names {id}");
    }
}
