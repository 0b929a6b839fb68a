//! Tests of plan texts from outside: long ones, hostile ones, and ones with secrets.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::{Duration, Instant};

use canary_rollout::{Plan, Releases, Rollout, plan::PlanError};

type Parse = fn(&str) -> Result<Plan, PlanError>;

const FORMATS: [(&str, Parse); 3] =
    [("TOML", Plan::from_toml), ("JSON", Plan::from_json), ("YAML", Plan::from_yaml)];

/// Repeats a part up to the maximum length of a text.
fn full(start: &str, part: impl Fn(usize) -> String, end: &str) -> String {
    let mut text = start.to_owned();
    for index in 0.. {
        let part = part(index);
        if text.len() + part.len() + end.len() > Plan::MAX_TEXT_BYTES {
            break;
        }
        text += &part;
    }
    text + end
}

#[test]
fn a_text_above_the_maximum_length_is_refused_before_it_is_parsed() {
    for (format, parse) in FORMATS {
        // Valid in all formats at the end, and a syntax error in none of them before.
        let text = " ".repeat(Plan::MAX_TEXT_BYTES + 1);
        let error = parse(&text).unwrap_err();
        let expected = "the text has 65537 bytes, expected at most 65536";
        assert_eq!(error.to_string(), expected, "{format}");
        let error = parse(&text[1..]).unwrap_err();
        assert!(!error.to_string().contains("at most 65536"), "{format}: {error}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn hostile_texts_of_the_maximum_length_are_refused_quickly_and_in_few_words() {
    let long = "x".repeat(60_000);
    let texts = [
        full("", |n| format!("[[steps]]\nweight = \"{n}%\"\n"), ""),
        full("", |n| format!("a{n} = 1\n"), ""),
        full("", |n| format!("[notify.n{n}]\n"), ""),
        full("", |n| format!("[gates.'{n} ']\nkind={{approval=''}}\n"), ""),
        full("steps = [{ weight = '1%', gates = [", |n| format!("'{n}',"), "] }]"),
        full("steps = [{ weight = '1%', gates = [", |_| "'a',".to_owned(), "] }]"),
        full("steps = [", |_| "{weight='1%'},".to_owned(), "]"),
        full("a = [", |_| "[".to_owned(), ""),
        full("a", |_| ".a".to_owned(), " = 1"),
        full("a = {", |_| "a={".to_owned(), ""),
        format!("{long} = 1"),
        format!("preset = '{long}'"),
        format!("a = {}", "9".repeat(60_000)),
        full("{\"steps\":[", |_| "{\"weight\":\"1%\"},".to_owned(), "{}]}"),
        full("{", |n| format!("\"a{n}\":1,"), "\"z\":1}"),
        full(
            "{\"gates\":{",
            |n| format!("\"{n}_\":{{\"kind\":{{\"approval\":\"\"}}}},"),
            "\"z\":1}}",
        ),
        full("{\"a\":", |_| "[".to_owned(), ""),
        format!("{{\"{long}\":1}}"),
        full("steps:\n", |_| "- { weight: 1% }\n".to_owned(), ""),
        full("", |n| format!("a{n}: 1\n"), ""),
        full("a: ", |_| "[".to_owned(), ""),
        full("a: ", |_| "&a [*a, ".to_owned(), ""),
        full("a0: &a0 [x,x]\n", |n| format!("a{}: &a{} [*a{n},*a{n}]\n", n + 1, n + 1), ""),
        full("", |_| "- ".to_owned(), ""),
        full("", |_| "? ".to_owned(), ""),
        format!("'{long}': 1"),
    ];
    for text in &texts {
        for (format, parse) in FORMATS {
            let start = Instant::now();
            let error = parse(text).expect_err("the text is no plan");
            let start_of = &text[..40.min(text.len())];
            assert!(start.elapsed() < Duration::from_secs(30), "{format}: {start_of}");
            assert!(error.faults().len() <= PlanError::MAX_FAULTS, "{format}: {start_of}");
            for fault in error.faults() {
                let (field, message) = (fault.field.len(), fault.message.len());
                assert!(field <= 256 && message <= 256, "{format}: {field} and {message} bytes");
                assert!(!fault.to_string().contains('\n'), "{format}: {start_of}");
            }
        }
    }
}

/// Columns count characters, also in a text of one line.
#[test]
fn positions_are_exact_in_long_lines() {
    for fill in ["x", "ä", "\u{1F424}"] {
        let count = 2_000;
        let text = format!("{{\"preset\":\"{}\",\"other\":1}}", fill.repeat(count));
        let error = Plan::from_json(&text).unwrap_err();
        let fault = &error.faults()[1];
        assert_eq!((fault.line, fault.column), (1, 14 + count), "{error}");
        let text = format!("# {}\r\na = '{}'\nb = 1", fill.repeat(count), fill.repeat(count));
        let error = Plan::from_toml(&text).unwrap_err();
        assert_eq!(error.faults()[1].line, 2, "{error}");
    }
}

#[test]
fn an_error_repeats_neither_secrets_nor_the_paths_of_urls() {
    let plans = [
        "notify.ops = 'https://hooks.example/T0/S3CRET'",
        "notify.ops = 'S3CRET'",
        "notify.ops.webhook = 'https://hooks.example/T0/S3CRET'",
        "notify.ops.webhook = ['S3CRET']",
        "notify.ops.webhook.url = 'ftp://hooks.example/S3CRET'",
        "notify.ops.webhook.url = 'https://hooks.example:70000/S3CRET'",
        "notify.ops.webhook.url = 'https://hooks.example/S3CRET with a space'",
        "notify.ops.webhook.url = 'hooks.example/S3CRET'",
        "notify.ops.webhook.url = 'https://ada:S3CRET@/'",
        "notify.ops.webhook = { url = 'https://a', secret_env = 'S3CRET+/=' }",
        "notify.ops.webhook = { url = 'https://a', secret_env = 'https://S3CRET' }",
        "notify.ops.webhook = { url = 'https://a', retries = 'S3CRET' }",
        "notify.ops.webhook = { url = 'https://a', headers_env = { a = 'Bearer S3CRET' } }",
        "notify.ops.webhook = { url = 'https://a', headers_env = { a = ['S3CRET'] } }",
        "notify.ops.webhook = { url = 'https://a', headers_env = { 'Bearer S3CRET' = 'A' } }",
        "notify.ops.webhook = { url = 'https://a', headers_env = 'S3CRET' }",
        "gates.ci.kind = 'https://hooks.example/S3CRET'",
        "gates.ci.kind.webhook = 'S3CRET'",
        "gates.ci = 'https://hooks.example/S3CRET'",
        "start = 'https://hooks.example/S3CRET'",
        "preset = 'https://hooks.example/S3CRET'",
    ];
    for plan in plans {
        let error = Plan::from_toml(&format!("steps = [{{ weight = '1%' }}]\n{plan}")).unwrap_err();
        let texts = format!("{error} {error:?}");
        assert!(!texts.contains("S3CRET"), "{plan}: {texts}");
        let json: serde_json::Value = toml_to_json(plan);
        let error = serde_json::from_value::<Plan>(json).unwrap_err().to_string();
        assert!(!error.contains("S3CRET"), "{plan}: {error}");
    }
}

fn toml_to_json(plan: &str) -> serde_json::Value {
    let mut json = serde_json::to_value(toml::from_str::<toml::Table>(plan).unwrap()).unwrap();
    if json.get("preset").is_none() {
        json["steps"] = serde_json::json!([{ "weight": "1%" }]);
    }
    json
}

#[test]
fn a_port_that_a_client_would_ignore_is_refused() {
    let plan = |url: &str| {
        Plan::from_toml(&format!(
            "steps = [{{ weight = '1%' }}]\ngates.x.kind.webhook.url = '{url}'\n\
             notify.x.webhook.url = '{url}'"
        ))
    };
    for url in [
        "http://127.0.0.1:70000/x",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:/x",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:+80/",
        "http://127.0.0.1:80a/",
        "http://[::1]:99999/x",
        "http://[::1]:/x",
        "http://:80/x",
        "http://a:80:70000/",
        "http:///x",
        "http://",
    ] {
        let error = plan(url).unwrap_err();
        assert_eq!(error.faults().len(), 2, "{url}: {error}");
        assert!(error.to_string().contains("a port of 1 to 65535"), "{url}: {error}");
    }
    for url in
        ["http://a", "http://a:1/x", "https://a:65535?x", "http://[::1]/x", "http://[::1]:80"]
    {
        plan(url).unwrap();
    }
}

#[test]
fn debug_and_public_forms_have_no_paths_of_urls() {
    let plan = Plan::from_toml(
        "steps = [{ weight = '1%' }]
         gates.ci.kind.webhook.url = 'https://ada:S3CRET@ci.example:8443/S3CRET?token=S3CRET'
         notify.ops.webhook = { url = 'https://hooks.example/T0/S3CRET', secret_env = 'CANARY_X' }",
    )
    .unwrap();
    let releases = Releases { stable: "v1".parse().unwrap(), canary: "v2".parse().unwrap() };
    let rollout = Rollout::new("shop".parse().unwrap(), releases, plan.clone());
    let mut stored = serde_json::to_value(&rollout).unwrap();
    assert_eq!(
        stored["plan"]["notify"]["ops"]["webhook"]["url"],
        "https://hooks.example/T0/S3CRET"
    );
    // A field of a newer version.
    stored["plan"]["escalate"] = "https://pager.example/S3CRET".into();
    let rollout: Rollout = serde_json::from_value(stored).unwrap();
    let forms = [
        format!("{plan:?} {rollout:?} {plan:#?} {rollout:#?}"),
        plan.to_public_json().to_string(),
        rollout.to_public_json().to_string(),
    ];
    for form in forms {
        assert!(!form.contains("S3CRET"), "{form}");
        assert!(form.contains("https://hooks.example"), "{form}");
        assert!(form.contains("https://ci.example:8443"), "{form}");
    }
}
