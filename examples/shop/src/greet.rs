//! What the shop says first.

use std::net::SocketAddr;

use crate::cli::Options;

/// Says where the shop listens, and what to try.
pub(crate) fn greet(addr: SocketAddr, options: &Options) {
    let (who_gets_it, try_next) = match &options.plan {
        Some(plan) => (format!("version 2 is rolled out by {}", plan.display()), WITH_A_PLAN),
        None => (format!("{} of calls go to version 2", options.weight), WITHOUT),
    };
    println!("the shop listens on http://{addr}, {who_gets_it}\n\ntry next:");
    let try_next =
        try_next.map(|(command, what)| (command.replace("ADDR", &addr.to_string()), what));
    let widest = try_next.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    for (command, what) in try_next {
        println!("  {command:<widest$} # {what}");
    }
    println!("{}", LONGER.replace("ADDR", &addr.to_string()));
    if options.load.is_none() {
        println!(
            "or start it with `--load 200 --v2-error-rate 5%`, and watch what the canary does\n"
        );
    }
}

const WITHOUT: [(&str, &str); 7] = [
    ("curl -i ADDR/products/1", "x-canary-channel says who served it"),
    ("curl -N ADDR/events", "server-sent events"),
    ("curl -X PUT ADDR/canary/weight -d 50%", "the very next call sees it"),
    ("curl -X POST ADDR/canary/roll-back", "the canary's open streams say good-bye"),
    ("curl -X POST ADDR/canary/promote", "version 2 serves everybody"),
    ("curl ADDR/canary", "state and counts"),
    ("curl -s ADDR/metrics | grep canary_requests_total", "for Prometheus"),
];

const WITH_A_PLAN: [(&str, &str); 7] = [
    ("curl ADDR/rollout", "where it is, and what it waits for"),
    ("curl -X POST ADDR/rollout/pause -d lunch", "the weight stays, and is watched"),
    ("curl -X POST ADDR/rollout/resume", "the plan goes on"),
    ("curl -X POST ADDR/rollout/roll-back -d 'wrong totals'", "the very next call is version 1's"),
    ("curl -i ADDR/products/1", "x-canary-channel says who served it"),
    ("curl ADDR/canary", "state and counts"),
    ("curl -s ADDR/metrics | grep canary_requests_total", "for Prometheus"),
];

/// A gRPC message is a zero, four bytes of length, and the protobuf: here, field 1 is 1.
const LONGER: &str = r#"  curl ADDR/checkout --json '{"items": [{"product": 1, "quantity": 2}]}'
  printf '\0\0\0\0\2\b\1' | curl -s --http2-prior-knowledge ADDR/shop.Prices/Get --data-binary @- \
    -H 'content-type: application/grpc' -H 'te: trailers' -i -o - | cat -v
"#;
