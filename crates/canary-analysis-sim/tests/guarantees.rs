//! The table of guarantees in the docs of `canary-analysis` names tests that exist.

use std::{fs, path::Path};

#[test]
fn every_guarantee_names_existing_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../canary-analysis");
    let docs = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let mut code = fs::read_to_string(root.join("src/guard/tests.rs")).unwrap();
    for file in ["outage_filter.rs", "block_bets/thinning.rs"] {
        code += &fs::read_to_string(root.join("src").join(file)).unwrap();
    }
    for tests in [root.join("tests"), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")] {
        for file in fs::read_dir(tests).unwrap().map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                code += &fs::read_to_string(file).unwrap();
            }
        }
    }
    let rows: Vec<&str> = docs.lines().filter(|line| line.starts_with("//! | G")).collect();
    assert_eq!(rows.len(), 10);
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit('|').next().unwrap();
        let names: Vec<&str> = tests.split(',').map(|name| name.trim().trim_matches('`')).collect();
        assert!(!names.is_empty(), "no test in {row}");
        for name in names {
            assert!(code.contains(&format!("fn {name}(")), "there is no test {name:?}");
        }
    }
}
