//! The evidence equals golden vectors that were calculated by an independent program.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use canary_analysis::{AdverseCounts, Margin, Margins, statistics::Evidence};
use canary_core::{PerChannel, Weight};
use serde_json::Value;

/// See `testdata/README.md`.
const GOLDEN: &str = include_str!("../testdata/golden.json");

fn number_of(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn margins(case: &Value) -> Margins {
    let (worse, good) = (&case["worse"], &case["non_inferior"]);
    Margins::try_new(
        Margin {
            ratio: number_of(&worse["ratio_margin"]),
            rate: number_of(&worse["absolute_floor"]),
        },
        Margin {
            ratio: number_of(&good["ratio_margin"]),
            rate: number_of(&good["absolute_margin"]),
        },
    )
    .unwrap()
}

fn tick(tick: &Value) -> AdverseCounts {
    let count = |name: &str| tick[name].as_u64().unwrap();
    AdverseCounts::try_new(
        Weight::from_ppm(u32::try_from(count("weight_ppm")).unwrap()),
        PerChannel { stable: count("stable_calls"), canary: count("canary_calls") },
        PerChannel { stable: count("stable_adverse"), canary: count("canary_adverse") },
    )
    .unwrap()
}

#[test]
fn evidence_equals_the_golden_vectors() {
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
                let expected = number_of(&expected[name]);
                let tolerance = 1e-9 * expected.abs().max(1.0);
                let name = format!("{}, {name}", case["name"]);
                assert!((log_e - expected).abs() <= tolerance, "{name}: {log_e}, not {expected}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 204);
}

/// See `testdata/large.py`.
const LARGE: &str = include_str!("../testdata/large.json");

#[test]
fn evidence_of_large_counts_at_extreme_weights_equals_the_exact_result() {
    let cases: Value = serde_json::from_str(LARGE).unwrap();
    for (number, case) in cases.as_array().unwrap().iter().enumerate() {
        let margin = |at: usize| number_of(&case["margins"][at]);
        let worse = Margin { ratio: margin(0), rate: margin(1) };
        let good = Margin { ratio: margin(2), rate: margin(3) };
        let mut evidence = Evidence::new(Margins::try_new(worse, good).unwrap());
        for tick in case["ticks"].as_array().unwrap() {
            let of = |at: usize| PerChannel {
                stable: tick[at][0].as_u64().unwrap(),
                canary: tick[at][1].as_u64().unwrap(),
            };
            let weight = Weight::from_ppm(u32::try_from(tick[0].as_u64().unwrap()).unwrap());
            evidence.observe(&AdverseCounts::try_new(weight, of(1), of(2)).unwrap());
        }
        let log_es = [
            evidence.log_e_worse_relative(),
            evidence.log_e_worse_absolute(),
            evidence.log_e_good_relative(),
            evidence.log_e_good_absolute(),
            evidence.log_e_good(),
        ];
        for (at, log_e) in log_es.into_iter().enumerate() {
            let expected = number_of(&case["expect"][at]);
            let tolerance = 1e-9 * expected.abs().max(1.0);
            let off = (log_e - expected).abs();
            assert!(off <= tolerance, "case {number}, {at}: {log_e}, not {expected}");
        }
    }
}
