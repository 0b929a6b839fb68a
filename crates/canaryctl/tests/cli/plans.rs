use canary_api::{PlanCheck, PlanView};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ctl, PLAN, Shop};

fn file(directory: &TempDir, name: &str, text: &str) -> String {
    let file = directory.path().join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_fault_is_printed_with_its_place() {
    let (shop, directory) = (Shop::new().await, TempDir::new().unwrap());
    let text = "steps = [\n    { weight = \"10%\", min_calls = 1 },\n    { weight = \"5%\" },\n]\n";
    let plan = file(&directory, "plan.toml", text);
    let ended = shop.ctl("plan check").arg(&plan).run().await.expect(1);
    assert!(ended.stdout.starts_with(&format!("{plan}:3:")), "{ended:?}");
    assert!(ended.stdout.contains("steps[1]"), "{ended:?}");
    let check: PlanCheck = shop.ctl("plan check -o json").arg(&plan).run().await.expect(1).json();
    assert!(!check.faults.is_empty());
}

#[tokio::test]
async fn a_valid_plan_gets_a_forecast_for_its_traffic() {
    let (shop, directory) = (Shop::new().await, TempDir::new().unwrap());
    let plan = file(&directory, "plan.toml", PLAN);
    let line = "plan check --calls-per-second 200 --failure-rate 1%";
    let check: PlanCheck =
        shop.ctl(&format!("{line} -o json")).arg(&plan).run().await.expect(0).json();
    let forecast = check.forecast.unwrap();
    assert_eq!((forecast.calls_per_second, forecast.failure_rate), (200.0, Some(0.01)));
    let text = shop.ctl(line).arg(&plan).run().await.expect(0).stdout;
    assert!(text.contains("50%"), "{text}");
    for wrong in ["--failure-rate 2", "--failure-rate 101%"] {
        let ended = shop.ctl(&format!("plan check {wrong}")).arg(&plan).run().await.expect(1);
        assert!(ended.stderr.contains("expected a percentage from 0% to 100%"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_plan_is_replaced_after_its_check() {
    let (shop, directory) = (Shop::new().await, TempDir::new().unwrap());
    let plan = file(&directory, "plan.json", r#"{"steps": [{"weight": "3%", "min_calls": 7}]}"#);
    shop.ctl("plan apply shop --dry-run").arg(&plan).run().await.expect(0);
    let shown: Value = shop.ctl("plan show").run().await.expect(0).json();
    assert_eq!(shown["steps"][0]["weight"], "10%");
    let ended = shop.ctl("plan apply").arg(&plan).run().await.expect(1);
    assert!(ended.stderr.contains("needs --yes"), "{ended:?}");
    let view: PlanView =
        shop.ctl("plan apply --yes -m slower -o json").arg(&plan).run().await.expect(0).json();
    assert_eq!(view.plan["steps"][0]["weight"], "3%");
    let text = file(&directory, "plan.txt", PLAN);
    let ended = shop.ctl("plan check").arg(&text).run().await.expect(1);
    assert!(ended.stderr.contains("ends in .toml, .json or .yaml"), "{ended:?}");
    let ended = shop.ctl("plan check").arg("none.toml").run().await.expect(1);
    assert!(ended.stderr.contains("plan none.toml: "), "{ended:?}");
}

#[tokio::test]
async fn the_schema_needs_no_server() {
    let schema: Value = Ctl::bare("plan schema").run().await.expect(0).json();
    assert!(schema["properties"]["steps"].is_object());
}
