//! The README agrees with the repository.

use std::{fs, path::Path};

use canary_rollout::Plan;

#[test]
fn every_crate_is_in_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let row = format!("| [`crates/{name}`](crates/{name}) |");
        assert!(readme.contains(&row), "the README must have a row that starts with {row}");
    }
}

#[test]
fn all_local_links_of_the_readme_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    for (link, _) in links.filter(|(link, _)| !link.starts_with("http")) {
        assert!(root.join(link).exists(), "{link}");
    }
}

#[test]
fn the_plan_in_the_readme_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks: Vec<_> = readme.split("```toml\n").skip(1).collect();
    assert_eq!(blocks.len(), 1);
    let (toml, _) = blocks[0].split_once("```").unwrap();
    Plan::from_toml(toml).unwrap();
}
