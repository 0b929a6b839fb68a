use super::{
    healthy::WITHOUT_LATENCY,
    row::{Figure, Row},
};
use crate::traffic::{Law, Shape, Starts, Traffic, Trouble};

pub(super) fn rows() -> Vec<Row> {
    let row = |name: String, trouble, baseline| {
        let traffic = Traffic::new(50.0, 0.001).with_canary_failures(0.01);
        let traffic = traffic.with_trouble(trouble).with_baseline(baseline);
        Row::new(&name, traffic, Figure::EverHealthy, 5.0).at(10, 3_600)
    };
    let every =
        |period, lasts, part| Trouble::new(Starts::Every(period), Law::Fixed(lasts)).fails(part);
    let mut rows = Vec::new();
    for (percent, seconds) in [(3.0, 300.0), (5.0, 120.0), (10.0, 300.0), (30.0, 180.0)] {
        let incident = |at| Trouble::once(at, seconds).fails(percent / 100.0);
        rows.push(row(format!("{percent} % for {seconds} s"), incident(0.0), 0));
        let name = format!("{percent} % for {seconds} s, 10 calm minutes known");
        rows.push(row(name, incident(60.0), 600));
    }
    let recurring = [
        ("2 % for 10 of 20 min", every(1200.0, 600.0, 0.02)),
        ("30 % for 10 of 20 min", every(1200.0, 600.0, 0.3)),
        ("ramps from 0 to 30 %", every(1200.0, 600.0, 0.3).shaped(Shape::Ramp)),
        ("0 to 4 % and back each 10 min", every(600.0, 600.0, 0.04).shaped(Shape::Triangle)),
        ("30 % for 20 s of each minute", every(60.0, 20.0, 0.3)),
        ("0 to 6 % each 2 min", every(120.0, 120.0, 0.06).shaped(Shape::Ramp)),
    ];
    rows.extend(recurring.map(|(name, trouble)| row(name.to_owned(), trouble, 0)));
    let waves = waves();
    rows.extend(waves.map(|(name, trouble)| row(name, trouble, 0).judged_by(WITHOUT_LATENCY)));
    rows
}

/// Returns trouble that never stays calm for long.
fn waves() -> impl Iterator<Item = (String, Trouble)> {
    let shapes = |period| {
        [
            ("rises", Shape::Ramp),
            ("falls", Shape::Fall),
            ("rises and falls", Shape::Triangle),
            ("a sine", Shape::Sine),
            ("comes and goes", Shape::Flapping(period / 2.0, period / 2.0)),
        ]
    };
    let waves = [6.0, 30.0].into_iter().flat_map(move |most| {
        [30.0, 60.0, 120.0, 600.0].into_iter().flat_map(move |period| {
            shapes(period).map(|(name, shape)| {
                (format!("0 to {most} % each {period} s, {name}"), most, period, shape)
            })
        })
    });
    let walks = [(0.6, 0.1), (1.8, 0.3), (6.0, 1.0)].map(|(percent, part)| {
        let name = format!("a random walk within 0 to 6 %, by {percent} % a minute");
        (name, 6.0, 600.0, Shape::Walk(part))
    });
    waves.chain(walks).map(|(name, most, period, shape)| {
        let wave = Trouble::new(Starts::Every(period), Law::Fixed(period)).fails(most / 100.0);
        (format!("{name}, without latency"), wave.shaped(shape))
    })
}
