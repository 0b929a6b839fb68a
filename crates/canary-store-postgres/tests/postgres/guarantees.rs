//! Each documented guarantee of this crate has a test that names it.

#[test]
fn every_guarantee_has_a_test_that_names_it() {
    let documentation = include_str!("../../src/lib.rs");
    let guarantees: Vec<&str> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("//! - **P"))
        .filter_map(|guarantee| guarantee.split(',').next())
        .collect();
    assert_eq!(guarantees, ["1", "2", "3", "4", "5", "6"]);
    let tests = [
        include_str!("access.rs"),
        include_str!("changes.rs"),
        include_str!("notifications.rs"),
        include_str!("outages.rs"),
        include_str!("setup.rs"),
    ];
    let tests = tests.concat();
    let words: Vec<&str> = tests.split(|it: char| !it.is_alphanumeric()).collect();
    for id in guarantees {
        assert!(words.contains(&&*format!("P{id}")), "no test names P{id}");
    }
}
