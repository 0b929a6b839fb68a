use std::fmt::Write;

use crate::{
    rules::{self, RollbackRule},
    schedule::Schedule,
    study::Study,
    traffic::Traffic,
};

/// A picture of the guide "How a canary is judged", as an SVG file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Picture {
    /// The name of its file.
    pub file: &'static str,
    /// Its content.
    pub svg: String,
}

/// The pictures of the guide, drawn from simulated rollouts with fixed seeds.
#[must_use]
pub fn pictures() -> [Picture; 2] {
    [
        Picture { file: "evidence.svg", svg: evidence() },
        Picture { file: "false-rollbacks.svg", svg: bars() },
    ]
}

/// Draws the odds against chance over an hour, for canaries as good as stable and for worse ones.
fn evidence() -> String {
    let mut svg = opened(
        "The odds against chance, minute by minute: ten canaries as good as stable, ten worse",
    );
    for exponent in -4..=4_i32 {
        let y = y_of(f64::from(exponent));
        line(&mut svg, (LEFT, y), (RIGHT, y), if exponent == 2 { "#c62828" } else { "#e0e0e0" });
        text(&mut svg, (LEFT - 8.0, y + 4.0), "end", &odds(exponent));
    }
    for minute in [0, 12, 24, 36, 48, 60] {
        text(&mut svg, (x_of(f64::from(minute)), BOTTOM + 18.0), "middle", &minute.to_string());
    }
    text(
        &mut svg,
        (LEFT.midpoint(RIGHT), BOTTOM + 38.0),
        "middle",
        "minutes; the weight goes 1, 5, 10, 25, 50 %",
    );
    text(&mut svg, (RIGHT, y_of(2.0) - 6.0), "end", "rolled back from here on");
    let good = Traffic::new(50.0, 0.01);
    for (traffic, color) in
        [(good.clone(), "#607d8b"), (good.with_canary_failures(0.02), "#e65100")]
    {
        for seed in 0..10 {
            path(&mut svg, &odds_by_minute(&traffic, seed), color);
        }
    }
    text(&mut svg, (x_of(2.0), y_of(3.5)), "start", "orange: fails 2 % of calls, stable 1 %");
    text(&mut svg, (x_of(2.0), y_of(3.1)), "start", "gray: fails 1 %, as stable does");
    svg + "</svg>\n"
}

/// Returns the decimal logarithm of the odds after each minute, up to the rollback.
fn odds_by_minute(traffic: &Traffic, seed: u64) -> Vec<(f64, f64)> {
    let mut rule = rules::judge();
    let mut points = vec![(0.0, 0.0)];
    traffic.run(
        &Schedule::hour(),
        7_000 + seed,
        |_| (),
        |second| {
            let verdict = rule.look(second);
            let is_over = verdict == canary_core::Verdict::Degraded;
            if second.at % 60 == 59 || is_over {
                let log_e = rule.judge().evidence("failures").map_or(0.0, |it| it.log_e_worse());
                let minutes = f64::from(second.at + 1) / 60.0;
                points.push((minutes, log_e / std::f64::consts::LN_10));
            }
            !is_over
        },
    );
    points
}

/// Draws how often each rule rolls back a canary that is as good as stable.
fn bars() -> String {
    let mut svg = opened("How often each rule rolls back a canary that is as good as stable");
    let study = Study::new(Traffic::new(50.0, 0.005), Schedule::hour(), 200).with_seed(70);
    let rates = [
        ("the judge", study.run(rules::judge).rate()),
        ("fixed limit, 5 checks", study.run(rules::fixed_threshold).rate()),
        ("Mann-Whitney each minute", study.run(rules::mann_whitney).rate()),
        ("z-test each second", study.run(rules::repeated_z).rate()),
    ];
    let mut y = TOP + 30.0;
    for (name, rate) in rates {
        text(&mut svg, (LEFT + 150.0, y + 20.0), "end", name);
        let (x, width) = (LEFT + 160.0, rate * 380.0);
        let _ = writeln!(
            svg,
            r##"<rect x="{x:.0}" y="{y:.0}" width="{width:.0}" height="30" fill="#607d8b"/>"##
        );
        let label = format!("{:.1} %", 100.0 * rate);
        text(&mut svg, (x + width + 8.0, y + 20.0), "start", &label);
        y += 60.0;
    }
    let caption = "of 200 rollouts; both channels fail 0.5 % of calls, 50 calls a second, one hour";
    text(&mut svg, (LEFT.midpoint(RIGHT), BOTTOM + 18.0), "middle", caption);
    svg + "</svg>\n"
}

const LEFT: f64 = 90.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 340.0;

fn x_of(minutes: f64) -> f64 {
    LEFT + minutes / 60.0 * (RIGHT - LEFT)
}

/// Clamps the odds to 1 : 10,000 and 10,000 : 1.
fn y_of(exponent: f64) -> f64 {
    BOTTOM - (exponent.clamp(-4.0, 4.0) + 4.0) / 8.0 * (BOTTOM - TOP)
}

fn odds(exponent: i32) -> String {
    let number = 10_u32.pow(exponent.unsigned_abs());
    if exponent < 0 { format!("1 : {number}") } else { format!("{number} : 1") }
}

fn opened(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 390\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<!-- Generated from the simulator: {COMMAND} -->\n\
         <title>{title}</title>\n<rect width=\"720\" height=\"390\" fill=\"#ffffff\"/>\n\
         <text x=\"360\" y=\"22\" text-anchor=\"middle\" font-size=\"14\">{title}</text>\n"
    )
}

// Below, `writeln!` to a string cannot fail.

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), color: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        r#"<line x1="{x1:.0}" y1="{y1:.1}" x2="{x2:.0}" y2="{y2:.1}" stroke="{color}"/>"#
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        r##"<text x="{x:.0}" y="{y:.0}" text-anchor="{anchor}" fill="#212121">{text}</text>"##
    );
}

fn path(svg: &mut String, points: &[(f64, f64)], color: &str) {
    let points: Vec<String> = points
        .iter()
        .map(|(minutes, exponent)| format!("{:.1},{:.1}", x_of(*minutes), y_of(*exponent)))
        .collect();
    let points = points.join(" ");
    let _ = writeln!(svg, r#"<polyline points="{points}" fill="none" stroke="{color}"/>"#);
}

/// The program that draws the pictures. (Its command has two hyphens, which an XML comment must not
/// contain.)
const COMMAND: &str = "see the example judge_pictures of canary-analysis-sim";
