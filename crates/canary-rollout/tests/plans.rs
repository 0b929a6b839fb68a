//! Tests of plan files and their error messages.

use std::time::Duration;

use canary_analysis::SecondProof;
use canary_core::Weight;
use canary_rollout::{
    Plan,
    plan::{Gate, GateKind, OnDegraded, Preset},
};

const STEP: &str = "steps = [{ weight = '1%' }]\n";

const TOML: &str = include_str!("../plans/checkout.toml");
const JSON: &str = include_str!("../plans/checkout.json");
const YAML: &str = include_str!("../plans/checkout.yaml");

fn error(toml: &str) -> String {
    Plan::from_toml(toml).expect_err(toml).to_string()
}

#[test]
fn the_three_formats_produce_the_same_plan() {
    let plan = Plan::from_toml(TOML).unwrap();
    assert_eq!(Plan::from_json(JSON).unwrap(), plan);
    assert_eq!(Plan::from_yaml(YAML).unwrap(), plan);
    assert_eq!(plan.steps().len(), 4);
    assert_eq!(plan.judge().monitors().len(), 8);
}

/// Returns the names of the judge's monitors for a plan with these fields.
fn monitors(fields: &str) -> Vec<String> {
    let plan = Plan::from_toml(&format!("preset = 'Canary10Percent5Minutes'\n{fields}"));
    plan.expect("a valid plan")
        .judge()
        .monitors()
        .map(|monitor| monitor.name().to_owned())
        .collect()
}

#[test]
fn unanswered_and_cancelled_calls_are_watched_whatever_a_plan_lists() {
    for (fields, expected) in [
        ("", &["failures", "unanswered", "cancelled", "slow head p99", "share"][..]),
        ("monitors = [{ measure = 'feedback' }]", &["feedback", "unanswered", "cancelled"]),
        (
            "monitors = [{ measure = 'failures' }, { measure = 'cancelled', role = 'watches' }]",
            &["failures", "cancelled", "unanswered"],
        ),
        (
            "monitors = [{ measure = 'failures' }, { measure = 'cancelled', class = 'a' }]",
            &["failures", "cancelled of a", "unanswered", "cancelled"],
        ),
        (
            "monitors = [{ measure = 'failures' }]\nunwatched = ['unanswered', 'cancelled']",
            &["failures"],
        ),
        ("unwatched = ['cancelled']", &["failures", "unanswered", "slow head p99", "share"]),
    ] {
        assert_eq!(monitors(fields), expected, "{fields}");
    }
}

#[test]
fn a_limit_reads_the_same_in_each_format() {
    let toml = "preset = 'Canary10Percent5Minutes'\n\
                [[monitors]]\nmeasure = 'failures'\nat_most = '0.1%'\n\
                [[monitors]]\nmeasure = { event = 'chargeback' }\nat_most = 5\n";
    let json = r#"{ "preset": "Canary10Percent5Minutes", "monitors": [
        { "measure": "failures", "at_most": "0.1%" },
        { "measure": { "event": "chargeback" }, "at_most": 5 }
    ] }"#;
    let yaml = "preset: Canary10Percent5Minutes\nmonitors:\n  \
                - { measure: failures, at_most: 0.1% }\n  \
                - { measure: { event: chargeback }, at_most: 5 }\n";
    let plan = Plan::from_toml(toml).unwrap();
    assert_eq!(Plan::from_json(json).unwrap(), plan);
    assert_eq!(Plan::from_yaml(yaml).unwrap(), plan);
    assert_eq!(Plan::from_json(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    let names: Vec<_> = plan.judge().monitors().map(|it| it.name().to_owned()).collect();
    let expected = ["failures at most 0.1%", "chargeback at most 5", "unanswered", "cancelled"];
    assert_eq!(names, expected);
}

#[test]
fn the_dry_run_says_which_failures_a_plan_does_not_look_for() {
    let warnings = |fields: &str, rate| {
        let plan = format!("preset = 'Canary10Percent30Minutes'\n{fields}");
        let dry_run = Plan::from_toml(&plan).unwrap().dry_run(100.0, Some(rate)).unwrap();
        dry_run.warnings.join("\n")
    };
    let four_nines = warnings("", 0.0001);
    assert!(
        four_nines.contains(
            "`failures` calls a canary healthy that fails up to 0.5% of calls, although stable fails \
             0.01%: to look for less, lower `margins.good.rate`, or add a monitor with `at_most`"
        ),
        "{four_nines}"
    );
    assert!(!warnings("", 0.002).contains("to look for less"));
    let limited =
        "monitors = [{ measure = 'failures' }, { measure = 'failures', at_most = '0.1%' }]";
    let text = warnings(limited, 0.002);
    assert!(text.contains("stable's 0.2% is not clearly below the limit of 0.1%"), "{text}");
}

#[test]
fn a_stored_plan_is_read_unchanged() {
    let unwatched = "preset = 'Canary10Percent5Minutes'\nunwatched = ['cancelled']";
    let examples = [
        TOML,
        include_str!("../plans/preset.toml"),
        include_str!("../plans/slow-start.toml"),
        unwatched,
    ];
    for text in examples {
        let plan = Plan::from_toml(text).unwrap();
        let stored = serde_json::to_string(&plan).unwrap();
        assert!(stored.len() < Plan::MAX_BYTES);
        assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
        assert_eq!(Plan::from_json(&stored).unwrap(), plan);
    }
}

#[test]
fn faults_have_a_line_and_a_field_in_each_format() {
    for (toml, json, yaml, expected) in [
        (
            "[[steps]]\nweight = '1%'\nmin_duratoin = '5m'",
            "{\n  \"steps\": [\n    { \"weight\": \"1%\", \"min_duratoin\": \"5m\" }\n  ]\n}",
            "steps:\n  - weight: 1%\n    min_duratoin: 5m",
            "line 3, column {}, steps[0].min_duratoin: unknown field `min_duratoin`, did you mean \
             `min_duration`? expected one of `weight`, `min_duration`, `min_calls`, `deadline`, `advance_when`, `without_proof_after`, `gates`, `probes`",
        ),
        (
            "[[steps]]\n\nweight = '101%'",
            "{\n  \"steps\": [\n    { \"weight\": \"101%\" }\n  ]\n}",
            "\nsteps:\n  - weight: 101%",
            "line 3, column {}, steps[0].weight: weight \"101%\" is above 100%: expected 0% to 100%, \
             such as \"0.1%\"",
        ),
        (
            "steps = [\n  { weight = '5%' },\n  { weight = '1%' },\n]",
            "{\"steps\": [\n  {\"weight\": \"5%\"},\n\t{\"weight\": \"1%\"}]}",
            "steps:\n  - weight: 5%\n  - weight: 1%",
            "line 3, column {}, steps[1].weight: 1% is below the previous step's 5%",
        ),
        (
            "# ä\n\nstepz = []",
            "{\n\n\"stepz\": []}",
            "# ä\n\nstepz: []",
            "line 3, column {}, stepz: unknown field `stepz`",
        ),
    ] {
        let errors = [Plan::from_toml(toml), Plan::from_json(json), Plan::from_yaml(yaml)];
        for error in errors.map(Result::unwrap_err) {
            let column = error.faults()[0].column;
            assert!(column > 0);
            let expected = expected.replace("{}", &column.to_string());
            assert!(error.to_string().starts_with(&expected), "{error}\nexpected: {expected}");
        }
    }
}

#[test]
fn syntax_errors_have_a_position() {
    for (error, expected) in [
        (Plan::from_toml("steps = [\n{ weight == '1%' }]"), "line 2, column 11, invalid TOML: "),
        (Plan::from_json("{\n\"steps\": [}"), "line 2, column 11, invalid JSON: expected value"),
        (Plan::from_json("{'steps': []}"), "line 1, column 2, invalid JSON: key must be a string"),
        (Plan::from_yaml("steps:\n  - {weight: 1%"), "line "),
        (Plan::from_yaml(""), "line 1, column 1, the text is empty"),
        (
            Plan::from_yaml("a: 1\n---\nb: 2"),
            "line 2, column 1, expected one document, found a second one",
        ),
        (
            Plan::from_yaml("deadline: 1d\ndeadline: 2d"),
            "line 2, column 1, duplicate field `deadline`",
        ),
        (Plan::from_json("[]"), "line 1, column 1, "),
        (Plan::from_toml(""), "line 1, column 1, expected one of `steps`, `preset`"),
    ] {
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}, expected {expected}");
    }
}

#[test]
fn json_may_have_surrogate_pairs_and_a_byte_order_mark() {
    let json = "\u{FEFF}{\"steps\": [{\"weight\": \"1%\", \"gates\": [\"g\"]}],
        \"gates\": {\"g\": {\"kind\": {\"approval\": \"\\ud83d\\udc26\"}}}}";
    let plan = Plan::from_json(json).unwrap();
    assert_eq!(plan.gates()["g"].kind, GateKind::Approval("\u{1F426}".into()));
}

#[test]
fn nested_aliases_are_limited() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        yaml += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    let message = Plan::from_yaml(&yaml).unwrap_err().to_string();
    assert!(message.contains("too many values"), "{message}");
}

#[test]
fn invalid_plans_are_rejected_with_the_value_and_the_expectation() {
    for (toml, expected) in [
        ("steps = []", "steps: expected 1 to 100 steps, found none"),
        (
            "steps = [{ weight = '0%' }]",
            "steps[0].weight: expected a weight above 0% in the last step, found 0%",
        ),
        (
            "steps = [{ weight = '100%' }]",
            "steps[0].weight: expected a step above 0% and below 100% before",
        ),
        (
            "steps = [{ weight = '1%', min_calls = 0 }]",
            "steps[0].min_calls: expected at least 1 call, found 0",
        ),
        (
            "steps = [{ weight = '1%', min_duration = 5 }]",
            "steps[0].min_duration: expected a duration with a unit such as \"5s\" or \"5m\", found the \
             number 5",
        ),
        (
            "steps = [{ weight = '1%', min_duration = '5 minutes' }]",
            "duration \"5 minutes\": expected",
        ),
        (
            "steps = [{ weight = '1%', min_duration = '5m', deadline = '5m' }]",
            "steps[0].deadline: 5m is not above `min_duration`, which is 5m",
        ),
        (&format!("{STEP}preset = 'AllAtOnce'"), "expected one of `steps`, `preset`"),
        (
            "preset = 'Canary10Percent7Minutes'",
            "unknown preset \"Canary10Percent7Minutes\": expected one",
        ),
        ("linear = { by = '0.1%', every = '1m' }", "linear: expected 1 to 100 steps, found more"),
        ("linear = { by = '0%', every = '1m' }", "linear.by: expected a weight above 0%"),
        (
            "exponential = { from = '1%', factor = 1, every = '1m' }",
            "exponential.factor: expected at least 2, found 1",
        ),
        ("max_weight = '5%'\nsteps = [{ weight = '6%' }]", "6% is above `max_weight`, which is 5%"),
        (
            &format!("{STEP}deadline = '0s'"),
            "deadline: 0s is not above the plan's minimum duration",
        ),
        (&format!("{STEP}alpha = 0.0"), "alpha: level `alpha` is 0, expected 1e-12 to 0.5"),
        (&format!("{STEP}beta = 0.7"), "beta: level `beta` is 0.7"),
        (
            &format!("{STEP}second_proof = {{ with = {{ odds = 0.5 }} }}"),
            "second_proof: odds of the second proof are 0.5, expected 1 to 1e12",
        ),
        (&format!("{STEP}monitors = []"), "monitors: no monitor decides"),
        (&format!("{STEP}monitors = [{{ measure = 'share' }}]"), "monitors: no monitor decides"),
        (&format!("{STEP}monitors = [{{ measure = 'failure' }}]"), "unknown variant `failure`"),
        (
            &format!("{STEP}monitors = [{{ measure = 'failures' }}, {{ measure = 'failures' }}]"),
            "two monitors are named `failures`",
        ),
        (
            &format!("{STEP}unwatched = ['cancelled']\nmonitors = [{{ measure = 'cancelled' }}]"),
            "unwatched[0]: `monitors` has a monitor of this measure",
        ),
        (&format!("{STEP}unwatched = ['share']"), "unknown variant `share`"),
        (
            &format!("{STEP}monitors = [{{ measure = 'failures', at_most = '60%' }}]"),
            "monitors[0].at_most: limit 0.6, expected a rate of 0.000001 to 0.5",
        ),
        (
            &format!("{STEP}monitors = [{{ measure = 'failures', at_most = true }}]"),
            "expected a share of calls such as \"0.1%\", or a number of calls such as 5",
        ),
        (
            &format!("{STEP}monitors = [{{ measure = 'failures', at_most = -5 }}]"),
            "expected a share of calls such as \"0.1%\", or a number of calls such as 5",
        ),
        (
            &format!(
                "{STEP}[[monitors]]\nmeasure = 'failures'\nat_most = 5\nmargins = {{ worse = {{ ratio = \
                 1.0, rate = 0.1 }}, good = {{ ratio = 2.0, rate = 0.1 }} }}"
            ),
            "monitors[0].at_most: the limit replaces the comparison with stable: remove `margins`",
        ),
        (
            &format!(
                "{STEP}monitors = [{{ measure = 'failures' }}, {{ measure = 'share', at_most = 5 }}]"
            ),
            "monitors: monitor `share at most 5` has a limit",
        ),
        (
            &format!("{STEP}monitors = [{{ measure = 'failures', at_most = 5 }}]"),
            "monitors: no monitor decides",
        ),
        (
            &format!("{STEP}unwatched = ['cancelled', 'cancelled']"),
            "unwatched[1]: the measure is listed twice",
        ),
        (
            &format!(
                "{STEP}[[monitors]]\nmeasure = {{ slower_than_stable = {{ quantile = 0.99, by = {{ ratio \
                 = 0.5 }} }} }}"
            ),
            "monitors[0].measure: slow excess 0.5, expected a ratio of 1 to 1000",
        ),
        (
            &format!("{STEP}monitors = [{{ measure = {{ slower_than = {{ limit = '90s' }} }} }}]"),
            "monitors[0].measure: slow limit 90s, expected above 0s",
        ),
        (
            &format!(
                "{STEP}[[monitors]]\nmeasure = 'failures'\nmargins = {{ worse = {{ ratio = 1.0, rate = \
                 0.1 }}, good = {{ ratio = 0.5, rate = 0.1 }} }}"
            ),
            "monitors[0].margins: margin `good.ratio` is 0.5",
        ),
        (
            &format!("{STEP}start = {{ probes = ['x'] }}"),
            "start.probes[0]: the plan has no probe \"x\"",
        ),
        (
            &format!("{STEP}promote = {{ gates = ['x'] }}"),
            "promote.gates[0]: the plan has no gate \"x\"",
        ),
        (
            &format!("{STEP}[gates.boss]\nkind = {{ approval = ' ' }}"),
            "gates.boss.kind.approval: \" \": expected 1 to 256 bytes",
        ),
        (
            &format!("{STEP}[gates.'The Boss']\nkind = {{ approval = 'x' }}"),
            "name \"The Boss\": expected 1 to 63 characters",
        ),
        (
            &format!("{STEP}[gates.x]\nkind = {{ webhook = {{ url = 'ftp://x' }} }}"),
            "gates.x.kind.webhook.url: URL \"ftp://x\": expected a URL with https://",
        ),
        (
            &format!(
                "{STEP}[gates.x]\nkind = {{ webhook = {{ url = 'http://x', secret_env = 'a-b' }} }}"
            ),
            "not the secret itself",
        ),
        (
            &format!("{STEP}[notify.x.webhook]\nurl = 'http://x'\nheaders_env = {{ A = 'B' }}"),
            "notify.x.webhook.headers_env: expected names of headers in lower case",
        ),
        (
            &format!(
                "{STEP}[notify.x.webhook]\nurl = 'http://x'\nheaders_env = {{ content-length = 'B' }}"
            ),
            "headers_env: the header `content-length` is set by the client itself",
        ),
        (
            &format!(
                "{STEP}[notify.x.webhook]\nurl = 'http://x'\nheaders_env = {{ x-canary-delivery = 'B' }}"
            ),
            "headers_env: the header `x-canary-delivery` is set by the client itself",
        ),
        (
            &format!("{STEP}[probes.x]\nkind = {{ http = {{ path = 'health' }} }}"),
            "probes.x.kind.http.path: path \"health\"",
        ),
        (
            &format!(
                "{STEP}[probes.x]\nfailure_threshold = 0\nkind = {{ http = {{ path = '/', status = [99] }} }}"
            ),
            "probes.x.failure_threshold: expected at least 1 run, found 0",
        ),
        (
            &format!("{STEP}bake = {{ duration = '0s' }}"),
            "bake.duration: expected a duration above zero, found 0s",
        ),
        (&format!("{STEP}bake = {{ duration = '1h', holdback = '0%' }}"), "bake.holdback: 0%"),
        (
            "steps = [{ weight = '90%' }]\nbake = { duration = '1h', holdback = '20%' }",
            "bake.holdback: 20% leaves the canary less than the last step's 90%",
        ),
        (
            &format!("{STEP}calendar = {{ time_zone = 'Berlin' }}"),
            "calendar.time_zone: unknown time zone \"Berlin\"",
        ),
        (&format!("{STEP}calendar = {{ days = ['Monday'] }}"), "calendar.days[0]: days \"Monday\""),
        (&format!("{STEP}calendar = {{ hours = ['9:00-16:00'] }}"), "calendar.hours[0]: hours"),
        (
            &format!("{STEP}calendar = {{ closed_dates = ['24.12.'] }}"),
            "calendar.closed_dates[0]: date \"24.12.\"",
        ),
        (
            &format!("{STEP}[notify.x]\nwebhook = {{ url = 'http://x' }}\nevents = ['rollback']"),
            "notify.x.events[0]: unknown event \"rollback\": expected one of started,",
        ),
    ] {
        let message = error(toml);
        assert!(message.contains(expected), "{toml}\n{message}\nexpected: {expected}");
        assert!(message.starts_with("line "), "{message}");
    }
}

#[test]
fn all_faults_are_reported_in_the_order_of_the_text() {
    let error = Plan::from_toml(
        "alpha = 2.0\nsteps = [{ weight = '5%', gates = ['a'] }, { weight = '4%', probes = ['b'] }]",
    )
    .unwrap_err();
    let fields: Vec<_> = error.faults().iter().map(|fault| &*fault.field).collect();
    assert_eq!(fields, ["alpha", "steps[0].gates[0]", "steps[1].weight", "steps[1].probes[0]"]);
}

#[test]
fn a_plan_that_is_too_long_is_rejected() {
    let mut toml = STEP.to_owned();
    for index in 0..8 {
        let path = "x".repeat(200);
        toml +=
            &format!("[gates.g{index}]\nkind = {{ webhook = {{ url = 'https://x/{path}' }} }}\n");
        toml += &format!("[probes.p{index}]\nkind = {{ http = {{ path = '/{path}' }} }}\n");
        toml += &format!("[notify.n{index}]\nwebhook = {{ url = 'https://x/{path}' }}\n");
    }
    let message = error(&toml);
    assert!(message.contains("bytes as JSON, expected at most 7168"), "{message}");
}

#[test]
fn presets_match_the_deployment_configurations_of_aws() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    // (name, weights in percent, time of each, bake)
    let expected: [(&str, &[u32], Duration, Option<Duration>); 12] = [
        ("Canary10Percent5Minutes", &[10], minutes(5), None),
        ("Canary10Percent10Minutes", &[10], minutes(10), None),
        ("Canary10Percent15Minutes", &[10], minutes(15), None),
        ("Canary10Percent30Minutes", &[10], minutes(30), None),
        ("Canary10Percent20Minutes", &[10, 20, 40, 80], minutes(5), Some(minutes(10))),
        ("Linear10PercentEvery1Minute", &[10, 20, 30, 40, 50, 60, 70, 80, 90], minutes(1), None),
        ("Linear10PercentEvery2Minutes", &[10, 20, 30, 40, 50, 60, 70, 80, 90], minutes(2), None),
        ("Linear10PercentEvery3Minutes", &[10, 20, 30, 40, 50, 60, 70, 80, 90], minutes(3), None),
        ("Linear10PercentEvery10Minutes", &[10, 20, 30, 40, 50, 60, 70, 80, 90], minutes(10), None),
        ("Linear20PercentEvery6Minutes", &[20, 40, 60, 80], minutes(6), Some(minutes(30))),
        ("Linear50PercentEvery30Seconds", &[50], Duration::from_secs(30), Some(minutes(1))),
        ("AllAtOnce", &[99], Duration::ZERO, Some(minutes(10))),
    ];
    assert_eq!(Preset::all().len(), expected.len());
    for (name, weights, time, bake) in expected {
        let plan = name.parse::<Preset>().unwrap().plan();
        let weights: Vec<_> = weights.iter().map(|it| (Weight::from_percent(*it), time)).collect();
        let found: Vec<_> = plan.steps().iter().map(|it| (it.weight, it.min_duration)).collect();
        assert_eq!(found, weights, "{name}");
        assert_eq!(plan.bake().map(|bake| bake.duration), bake, "{name}");
        assert_eq!(Plan::from_toml(&format!("preset = '{name}'")).unwrap(), plan);
    }
}

/// The names that CodeDeploy and AppConfig have.
#[test]
fn every_deployment_configuration_of_aws_is_a_preset_by_its_full_name() {
    for name in [
        "CodeDeployDefault.LambdaCanary10Percent5Minutes",
        "CodeDeployDefault.LambdaCanary10Percent10Minutes",
        "CodeDeployDefault.LambdaCanary10Percent15Minutes",
        "CodeDeployDefault.LambdaCanary10Percent30Minutes",
        "CodeDeployDefault.LambdaLinear10PercentEvery1Minute",
        "CodeDeployDefault.LambdaLinear10PercentEvery2Minutes",
        "CodeDeployDefault.LambdaLinear10PercentEvery3Minutes",
        "CodeDeployDefault.LambdaLinear10PercentEvery10Minutes",
        "CodeDeployDefault.LambdaAllAtOnce",
        "CodeDeployDefault.ECSCanary10Percent5Minutes",
        "CodeDeployDefault.ECSCanary10Percent15Minutes",
        "CodeDeployDefault.ECSLinear10PercentEvery1Minutes",
        "CodeDeployDefault.ECSLinear10PercentEvery3Minutes",
        "CodeDeployDefault.ECSAllAtOnce",
        "AppConfig.AllAtOnce",
        "AppConfig.Canary10Percent20Minutes",
        "AppConfig.Linear20PercentEvery6Minutes",
        "AppConfig.Linear50PercentEvery30Seconds",
    ] {
        let preset: Preset = name.parse().unwrap();
        assert!(name.trim_end_matches('s').ends_with(preset.as_str().trim_end_matches('s')));
    }
    let instances = "CodeDeployDefault.HalfAtATime".parse::<Preset>().unwrap_err().to_string();
    assert!(instances.ends_with("counts instances, and a plan counts calls"), "{instances}");
}

#[test]
fn linear_and_exponential_steps_end_at_their_maximum() {
    let linear = Plan::from_toml("linear = { by = '15%', every = '5m', to = '50%' }").unwrap();
    let percents: Vec<_> = linear.steps().iter().map(|it| it.weight.to_string()).collect();
    assert_eq!(percents, ["15%", "30%", "45%"]);

    let plan = Plan::from_yaml("exponential: {from: 0.1%, factor: 10, every: 5m}").unwrap();
    let percents: Vec<_> = plan.steps().iter().map(|it| it.weight.to_string()).collect();
    assert_eq!(percents, ["0.1%", "1%", "10%"]);
}

#[test]
fn omitted_fields_have_the_documented_defaults() {
    let plan = Plan::from_toml(STEP).unwrap();
    let step = &plan.steps()[0];
    assert_eq!((step.min_calls, step.deadline), (100, Some(Duration::from_secs(86_400))));
    assert_eq!(plan.on_degraded(), OnDegraded::RollBack);
    assert_eq!(plan.max_weight(), Weight::FULL);
    assert_eq!(plan.levels().alpha().to_string(), "0.01");
    let plan = Plan::from_toml(&format!("{STEP}[gates.x]\nkind = {{ function = 'f' }}")).unwrap();
    let Gate { deadline, every, .. } = plan.gates()["x"];
    assert_eq!((deadline, every), (Some(Duration::from_secs(86_400)), Duration::from_secs(30)));
}

#[test]
fn a_dry_run_forecasts_how_long_a_plan_takes_at_best() {
    let plan = Plan::from_toml(TOML).unwrap();
    let table = plan.dry_run(200.0, Some(0.001)).unwrap().to_string();
    let expected = "\
step    weight       takes         calls  bound by
   1      0.1%      16m40s           200  calls
   2        1%         10m         1,200  time
   3       10%         15m        18,000  time, then managers
   4       50%         30m       180,000  time
   5       99%         30m       356,400  time
total: 1h41m40s at best
caught before the promotion: a canary that fails 0.17% of calls, where stable fails 0.1%";
    assert_eq!(table, expected);

    let slow = plan.dry_run(0.01, Some(0.001)).unwrap();
    assert!(slow.warnings[0].starts_with("step 1 takes 231d11h"), "{:?}", slow.warnings);
    assert!(plan.dry_run(f64::NAN, None).is_err());
    assert!(plan.dry_run(1.0, Some(1.0)).is_err());
}

#[test]
fn a_warm_up_of_the_plan_holds_for_monitors_without_their_own() {
    let plan = |monitors: &str| Plan::from_toml(&format!("preset = 'AllAtOnce'\n{monitors}"));
    let warm_ups = |monitors: &str| -> Vec<u64> {
        let plan = plan(monitors).unwrap();
        let stored = serde_json::to_string(&plan).unwrap();
        assert_eq!(Plan::from_json(&stored).unwrap(), plan);
        plan.judge().monitors().map(|monitor| monitor.warm_up().as_secs()).collect()
    };
    let monitors = "[[monitors]]\nmeasure = 'failures'\n\
                    [[monitors]]\nmeasure = { slower_than_stable = { quantile = 0.99 } }\n\
                    [[monitors]]\nmeasure = 'cancelled'\nwarm_up = '30s'\n\
                    [[monitors]]\nmeasure = 'share'\n";
    assert_eq!(warm_ups(monitors)[..4], [0, 120, 30, 0]);
    assert_eq!(warm_ups(&format!("warm_up = '5m'\n{monitors}"))[..4], [300, 300, 30, 0]);
    assert_eq!(warm_ups(&format!("warm_up = '0s'\n{monitors}"))[..4], [0, 0, 30, 0]);

    let fault = |monitors: &str| plan(monitors).unwrap_err().to_string();
    let long = fault("[[monitors]]\nmeasure = 'failures'\nwarm_up = '2h'");
    assert!(
        long.contains("monitors[0].warm_up") && long.contains("2h is above the maximum of 1h"),
        "{long}"
    );
    let share = fault(
        "[[monitors]]\nmeasure = 'failures'\n[[monitors]]\nmeasure = 'share'\nwarm_up = '9s'",
    );
    assert!(share.contains("monitors[1].warm_up") && share.contains("no warm-up"), "{share}");
}

#[test]
fn the_second_proof_has_defaults_and_can_be_turned_off() {
    let read = |text: &str| Plan::from_toml(&format!("{STEP}{text}")).unwrap();
    assert_eq!(read("").second_proof(), SecondProof::default());
    let with = read("second_proof = { with = { odds = 50.0 } }");
    assert_eq!(with.second_proof(), SecondProof::try_new(0.3, 50.0).unwrap());
    let never = read("second_proof = 'never'");
    assert_eq!(never.second_proof(), SecondProof::NEVER);
    let written = serde_json::to_string(&never).unwrap();
    assert_eq!(Plan::from_json(&written).unwrap(), never);
}
