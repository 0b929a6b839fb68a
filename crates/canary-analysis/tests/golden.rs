//! The evidence equals golden vectors that a program sharing no code with this one calculated.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use canary_analysis::{Evidence, Margin, Margins, Tick};
use canary_core::{PerChannel, Weight};
use serde_json::Value;

/// See `testdata/README.md`.
const GOLDEN: &str = include_str!("../testdata/golden.json");

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn margins(case: &Value) -> Margins {
    let (worse, good) = (&case["worse"], &case["non_inferior"]);
    Margins::try_new(
        Margin { ratio: number(&worse["ratio_margin"]), rate: number(&worse["absolute_floor"]) },
        Margin { ratio: number(&good["ratio_margin"]), rate: number(&good["absolute_margin"]) },
    )
    .unwrap()
}

fn tick(tick: &Value) -> Tick {
    let count = |name: &str| tick[name].as_u64().unwrap();
    Tick::try_new(
        Weight::from_ppm(u32::try_from(count("weight_ppm")).unwrap()),
        PerChannel { stable: count("stable_calls"), canary: count("canary_calls") },
        PerChannel { stable: count("stable_adverse"), canary: count("canary_adverse") },
    )
    .unwrap()
}

#[test]
fn evidence_equals_the_golden_vectors_after_every_tick() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    let mut compared = 0;
    for case in cases {
        let mut evidence = Evidence::new(margins(case));
        let expected = case["expect"].as_array().unwrap();
        for (values, expected) in case["ticks"].as_array().unwrap().iter().zip(expected) {
            evidence.observe(&tick(values));
            for (name, log_e) in [
                ("log_e_relative", evidence.log_e_worse_relative()),
                ("log_e_absolute", evidence.log_e_worse_absolute()),
                ("log_e_worse", evidence.log_e_worse()),
                ("log_e_ni_relative", evidence.log_e_good_relative()),
                ("log_e_ni_absolute", evidence.log_e_good_absolute()),
                ("log_e_non_inferior", evidence.log_e_good()),
            ] {
                let expected = number(&expected[name]);
                let tolerance = 1e-9 * expected.abs().max(1.0);
                let name = format!("{}, {name}", case["name"]);
                assert!((log_e - expected).abs() <= tolerance, "{name}: {log_e}, not {expected}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 204);
}
