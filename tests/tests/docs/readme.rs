//! The README agrees with the repository.

use std::{collections::BTreeSet, fs, path::Path};

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
fn all_local_links_of_the_pages_in_the_root_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        for (link, _) in links.filter(|(link, _)| !link.starts_with("http")) {
            let file = link.split('#').next().unwrap();
            assert!(root.join(file).exists(), "{page}: {link}");
        }
    }
}

#[test]
fn all_source_files_that_the_architecture_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let crates: Vec<_> =
        fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let exists = |name: &str| {
        root.join("crates").join(name).exists()
            || crates.iter().any(|path| path.join("src").join(name).exists())
    };
    let names = text.split('`').skip(1).step_by(2);
    for name in names.filter(|name| name.ends_with(".rs") && !name.contains(' ')) {
        assert!(exists(name), "ARCHITECTURE.md names {name}");
    }
}

#[test]
fn the_plan_in_the_readme_is_valid() {
    let plans: Vec<_> = toml_blocks().into_iter().filter(|toml| toml.contains("steps =")).collect();
    assert_eq!(plans.len(), 1);
    Plan::from_toml(&plans[0]).unwrap();
}

#[test]
fn the_dependencies_in_the_readme_name_every_feature_of_the_crates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let blocks = toml_blocks();
    let shown = blocks.iter().find(|toml| toml.starts_with("[dependencies]")).unwrap();
    let shown: BTreeSet<_> = shown.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    // Features for tests of these crates and of stores.
    let hidden = ["default", "fail-points", "store-testing"];
    for name in ["tower-canary", "tower-canary-mirror", "canary-controller", "canary-admin"] {
        let manifest =
            fs::read_to_string(root.join("crates").join(name).join("Cargo.toml")).unwrap();
        let features = manifest.split("[features]\n").nth(1).unwrap();
        let features = features.split("\n[").next().unwrap();
        let lines = features.lines().filter(|line| line.contains(" = ["));
        for feature in lines.filter_map(|line| line.split_once(" = [")).map(|(name, _)| name) {
            assert!(hidden.contains(&feature) || shown.contains(feature), "{feature} of {name}");
        }
    }
}

fn toml_blocks() -> Vec<String> {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = fs::read_to_string(readme).expect("the README");
    let blocks = readme.split("```toml\n").skip(1);
    blocks.filter_map(|block| Some(block.split_once("```")?.0.to_owned())).collect()
}
