//! Tests of the faults of a plan: all at once, each once, and with the right form.

#![allow(clippy::unwrap_used, reason = "test code")]

use canary_rollout::{Plan, plan::PlanError};

fn faults(error: &PlanError) -> Vec<(usize, &str)> {
    error.faults().iter().map(|fault| (fault.line, &*fault.field)).collect()
}

fn of_step(fields: &str) -> String {
    Plan::from_yaml(&format!("steps: [{{{fields}}}]")).unwrap_err().to_string()
}

#[test]
fn all_faults_are_listed_with_their_lines_in_each_format() {
    let toml = "alpha = 'x'
        warmup = '5m'
        other = 1
        [[steps]]
        weight = 5
        min_duratoin = 1
        gates = ['boss', 7]
        [[steps]]
        weight = '1,5%'
        deadline = 10
        [bake]
        holdback = '60%'
        [gates.boss]
        kind = { aproval = 5 }
        [calendar]
        days = ['Mon']
        [notify.ops]
        format = 'teamz'";
    let yaml = "alpha: x
warmup: 5m
other: 1
steps:
- weight: 5
  min_duratoin: 1
  gates: [boss, 7]
-
  weight: 1,5%
  deadline: 10
bake:
  holdback: 60%
gates: { boss:
  { kind: { aproval: 5 } } }
calendar:
  days: [Mon]
notify: { ops: {
  format: teamz } }
";
    let json = r#"{"alpha": "x",
"warmup": "5m",
"other": 1, "steps": [
{
"weight": 5,
"min_duratoin": 1,
"gates": ["boss", 7]
}, {
"weight": "1,5%",
"deadline": 10
}], "bake": {
"holdback": "60%"
}, "gates": { "boss": {
"kind": { "aproval": 5 } } },
"calendar": {
"days": ["Mon"]
}, "notify": { "ops": {
"format": "teamz" } }
}"#;
    let expected = [
        (1, "alpha"),
        (2, "warmup"),
        (3, "other"),
        (5, "steps[0].weight"),
        (6, "steps[0].min_duratoin"),
        (6, "steps[0].min_duration"),
        (7, "steps[0].gates[1]"),
        (9, "steps[1].weight"),
        (10, "steps[1].deadline"),
        (11, "bake"),
        (12, "bake.holdback"),
        (14, "gates.boss.kind.approval"),
        (14, "gates.boss.kind"),
        (16, "calendar.days[0]"),
        (17, "notify.ops"),
        (18, "notify.ops.format"),
    ];
    for (format, error) in [
        ("TOML", Plan::from_toml(toml).unwrap_err()),
        ("YAML", Plan::from_yaml(yaml).unwrap_err()),
        ("JSON", Plan::from_json(json).unwrap_err()),
    ] {
        let mut found = faults(&error);
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{format}\n{error}");
        assert!(error.faults().iter().all(|fault| fault.column > 0), "{format}\n{error}");
    }
}

#[test]
fn a_value_that_many_steps_share_has_one_fault() {
    let ramp = "linear: {by: 10%, every: 5m}";
    for (plan, expected) in [
        (
            "exponential: {from: 1%, factor: 1, every: 5m}",
            "exponential.factor: expected at least 2, found 1",
        ),
        (
            "exponential: {from: 1%, factor: 0, every: 5m}",
            "exponential.factor: expected at least 2, found 0",
        ),
        ("exponential: {from: 0%, every: 5m}", "exponential.from: expected a weight above 0%"),
        (
            "exponential: {from: 50%, every: 5m, to: 10%}",
            "exponential.to: 10% is below `from`, which is 50%",
        ),
        ("linear: {by: 0%, every: 5m}", "linear.by: expected a weight above 0%"),
        ("linear: {by: 100%, every: 5m}", "linear.by: expected a weight above 0% and below 100%"),
        ("linear: {by: 10%, every: 2d}", "linear: 1d is not above `min_duration`, which is 2d"),
        (&format!("{ramp}\nmin_calls: 0"), "min_calls: expected at least 1 call, found 0"),
        (&format!("{ramp}\nstep_deadline: 1m"), "step_deadline: 1m is not above `min_duration`"),
        (&format!("{ramp}\nmax_weight: 25%"), "linear: 30% is above `max_weight`, which is 25%"),
        (&format!("{ramp}\nwarm_up: 2h"), "warm_up: 2h is above the maximum of 1h"),
        ("preset: AllAtOnce\nmax_weight: 5%", "preset: 99% is above `max_weight`, which is 5%"),
        (
            "steps: [{weight: 1%, gates: [a]}, {weight: 2%, gates: [a]}, {weight: 3%, gates: [a]}]",
            "steps[0].gates[0]: the plan has no gate \"a\"",
        ),
        (
            "max_weight: 1%\nsteps: [{weight: 1%}, {weight: 2%}, {weight: 3%}]",
            "steps[1].weight: 2% is above `max_weight`, which is 1%",
        ),
    ] {
        let error = Plan::from_yaml(plan).unwrap_err();
        assert_eq!(error.faults().len(), 1, "{plan}\n{error}");
        assert!(error.to_string().contains(expected), "{plan}\n{error}");
    }
}

#[test]
fn a_wrong_form_is_answered_with_the_right_one() {
    for (fields, expected) in [
        ("weight: 10", "a percentage such as \"10%\", found the number 10"),
        ("weight: 0.1", "a percentage such as \"0.1%\", found the number 0.1"),
        ("weight: '10'", "such as \"10%\""),
        ("weight: 10 percent", "such as \"10%\""),
        ("weight: '0,1%'", "such as \"0.1%\""),
        (
            "weight: ten",
            "weight \"ten\" is not a percentage: expected 0% to 100%, such as \"0.1%\"",
        ),
        ("weight: [1%]", "a percentage such as \"10%\", found a list"),
        (
            "weight: 1%, min_duration: 10",
            "a duration with a unit such as \"10s\" or \"10m\", found the number 10",
        ),
        (
            "weight: 1%, deadline: 10",
            "such as \"10s\" or \"10m\", found the number 10, or \"none\"",
        ),
        (
            "weight: 1%, deadline: [1h]",
            "a duration with a unit such as \"5m\", or \"none\", found a list",
        ),
        ("weight: 1%, min_duration: 10 minutes", "such as \"10m\""),
        ("weight: 1%, min_duration: 1.5h", "such as \"1h30m\""),
        ("weight: 1%, min_duration: soon", "duration \"soon\": expected numbers with units"),
        ("weight: 1%, min_calls: '5'", "expected a whole number, found the text \"5\""),
        ("weight: 1%, gates: boss", "expected a list, found the text \"boss\""),
        ("weight: 1%, wait: 10m", "unknown field `wait`, did you mean `min_duration`?"),
        ("weight: 1%, minCalls: 10", "unknown field `minCalls`, did you mean `min_calls`?"),
        ("weight: 1%, advance_when: health", "unknown variant `health`, did you mean `healthy`?"),
    ] {
        let error = of_step(fields);
        assert!(error.contains(expected), "{fields}\n{error}\nexpected: {expected}");
    }
    let error = Plan::from_toml("steps = [{ weight = '1%' }]\nmax_weight = 10").unwrap_err();
    assert!(error.to_string().contains("such as \"10%\""), "{error}");
    let error = Plan::from_json("[{\"weight\": \"1%\"}]").unwrap_err().to_string();
    assert_eq!(error, "line 1, column 1, expected a table of fields, found a list");
}

/// Removed values do not cause faults elsewhere.
#[test]
fn a_fault_has_no_consequences_in_the_list() {
    for (plan, expected) in [
        (
            "steps: [{weight: 5%}, {weight: 6}, {weight: 7%, min_duration: 1m}]",
            &["steps[1].weight"][..],
        ),
        ("steps: [5%, {weight: 6%}, 7%]", &["steps[0]", "steps[2]"]),
        ("gates: 5\nsteps: [{weight: 5%, gates: [a]}]", &["gates"]),
        ("gates: {a: 5}\nsteps: [{weight: 5%, gates: [a]}]", &["gates.a"]),
        ("gates: {a: {kind: 5}}\nsteps: [{weight: 5%, gates: [a]}]", &["gates.a.kind"]),
        ("probes: {a: {kind: x}}\nsteps: [{weight: 5%, probes: [a]}]", &["probes.a.kind"]),
        ("steps: 5", &["steps"]),
        ("by_hand: 'yes'", &["by_hand"]),
        ("preset: AllAtOnce\nmonitors: [failures, cancelled]", &["monitors[0]", "monitors[1]"]),
        ("preset: AllAtOnce\nmonitors: [{measure: failure}]", &["monitors[0].measure"]),
        ("preset: AllAtOnce\nbake: {duration: 5}\ndeadline: 5m", &["bake.duration"]),
    ] {
        let error = Plan::from_yaml(plan).unwrap_err();
        let fields: Vec<_> = faults(&error).into_iter().map(|(_, field)| field).collect();
        assert_eq!(fields, expected, "{plan}\n{error}");
    }
}

#[test]
fn json_of_other_writers_is_read() {
    let json = |name: &str, calls: &str| {
        format!(
            "{{\"steps\":[{{\"weight\":\"1%\",\"gates\":[\"g\"],\"min_calls\":{calls}}}],\r\n\
             \"gates\":{{\"g\":{{\"k\\u0069nd\":{{\"approval\":\"{name}\"}}}}}}}}\r\n"
        )
    };
    for (text, min_calls) in [
        (json("\\ud83d\\ude80", "1e3"), 1_000),
        (json("\u{1F680}", "1000.0"), 1_000),
        (format!("\u{FEFF}{}", json("\\uD83D\\uDE80", "2E1")), 20),
    ] {
        let plan = Plan::from_json(&text).unwrap();
        assert_eq!(plan.steps()[0].min_calls, min_calls);
        assert!(format!("{:?}", plan.gates()["g"].kind).contains('\u{1F680}'));
    }
    for (text, expected) in [
        (
            json("\\ud83d", "1"),
            "line 2, column 46, invalid JSON: lone surrogate, expected a pair such as",
        ),
        (
            json("\\ude80", "1"),
            "line 2, column 45, invalid JSON: lone surrogate, expected a pair such as",
        ),
        (json("x", "1e400"), "invalid JSON: number out of range"),
        (json("x", "1.5"), "expected a whole number, found 1.5"),
        (json("x", "-1"), "expected a whole number, found -1"),
        (json("x", "1,"), "invalid JSON: trailing comma"),
        (json("x", "1//"), "invalid JSON: "),
        (json("x", "1,\"min_calls\":2"), "duplicate field `min_calls`"),
        (format!("\u{FEFF}\u{FEFF}{}", json("x", "1")), "line 1, column 1, invalid JSON"),
        ("[".repeat(5_000), "invalid JSON: recursion limit exceeded"),
        (String::new(), "line 1, column 1, invalid JSON"),
    ] {
        let error = Plan::from_json(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n{error}\nexpected: {expected}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_and_utf_16_is_refused_in_each_format() {
    let texts = [
        ("TOML", "steps = [{ weight = '1%' }]", Plan::from_toml as fn(&str) -> _),
        ("YAML", "steps: [{weight: 1%}]", Plan::from_yaml),
        ("JSON", "{\"steps\":[{\"weight\":\"1%\"}]}", Plan::from_json),
    ];
    for (format, text, parse) in texts {
        assert_eq!(parse(&format!("\u{FEFF}{text}")).unwrap(), parse(text).unwrap(), "{format}");
        let crlf = text.replace('[', "[\r\n  ");
        assert_eq!(parse(&crlf).unwrap(), parse(text).unwrap(), "{format}");
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let with_mark: Vec<u8> = [0xff, 0xfe].into_iter().chain(bytes.clone()).collect();
        for bytes in [bytes, with_mark] {
            let error = parse(&String::from_utf8_lossy(&bytes)).unwrap_err().to_string();
            let expected = "the text is not UTF-8: it looks like UTF-16, so save it as UTF-8";
            assert_eq!(error, expected, "{format}");
        }
    }
}

/// `main` prints the error that it returns with `Debug`.
#[test]
fn errors_print_alike_for_people_and_from_main() {
    use canary_rollout::{
        Lineage, Releases, Rollout, Timestamp, command::CommandName, event::EventId,
        outlook::Traffic, plan::Preset,
    };
    let plan = Preset::all()[0].plan();
    let releases = Releases { stable: "v1".parse().unwrap(), canary: "v2".parse().unwrap() };
    let rollout = Rollout::new("shop".parse().unwrap(), releases, plan.clone());
    let refusal = rollout.refusal(&canary_rollout::Command::Promote).unwrap();
    let errors: [Box<dyn std::error::Error>; 9] = [
        Box::new(Plan::from_toml("steps = [{ weight = 5 }, { weight = 7 }]").unwrap_err()),
        Box::new("Canary1Percent".parse::<Preset>().unwrap_err()),
        Box::new("x".parse::<Lineage>().unwrap_err()),
        Box::new("x".parse::<EventId>().unwrap_err()),
        Box::new("x".parse::<Timestamp>().unwrap_err()),
        Box::new("x".parse::<CommandName>().unwrap_err()),
        Box::new(plan.dry_run(0.0, None).unwrap_err()),
        Box::new(Traffic::try_new(-1.0, None).unwrap_err()),
        Box::new(refusal),
    ];
    for error in errors {
        assert_eq!(format!("{error:?}"), error.to_string());
    }
}
