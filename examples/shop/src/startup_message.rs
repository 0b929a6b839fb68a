//! The message at startup: the address, and commands to try.

use std::net::SocketAddr;

use crate::cli::Options;

/// Prints the address and commands to try.
pub(crate) fn print(addr: SocketAddr, options: &Options) {
    let (split, try_next) = match &options.plan {
        Some(plan) => (format!("and rolls out version 2 with {}", plan.display()), WITH_PLAN),
        None => (format!("and sends {} of calls to version 2", options.weight), WITHOUT_PLAN),
    };
    println!("the shop listens on http://{addr}, {split}\n\ntry:");
    let try_next =
        try_next.map(|(command, comment)| (command.replace("ADDR", &addr.to_string()), comment));
    let widest = try_next.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    for (command, comment) in try_next {
        println!("  {command:<widest$} # {comment}");
    }
    println!("{}", MORE.replace("ADDR", &addr.to_string()));
    if options.load.is_none() {
        println!("or start it with `--load 200 --v2-error-rate 5%` and watch the canary\n");
    }
}

const WITHOUT_PLAN: [(&str, &str); 7] = [
    ("curl -i ADDR/products/1", "x-canary-channel is the channel"),
    ("curl -N ADDR/events", "server-sent events"),
    ("curl -X PUT ADDR/canary/weight -d 50%", "effective for the next call"),
    ("curl -X POST ADDR/canary/roll-back", "the canary's streams end"),
    ("curl -X POST ADDR/canary/promote", "version 2 serves all calls"),
    ("curl ADDR/canary", "state and counts"),
    ("curl -s ADDR/metrics | grep canary_requests_total", "for Prometheus"),
];

const WITH_PLAN: [(&str, &str); 7] = [
    ("curl ADDR/rollout", "the state of the rollout"),
    ("curl -X POST ADDR/rollout/pause -d lunch", "keeps the weight, and the judge active"),
    ("curl -X POST ADDR/rollout/resume", "continues the plan"),
    ("curl -X POST ADDR/rollout/roll-back -d 'wrong totals'", "version 1 serves all calls"),
    ("curl -i ADDR/products/1", "x-canary-channel is the channel"),
    ("xdg-open http://ADDR/canary/", "the dashboard"),
    ("curl -s ADDR/metrics | grep canary_requests_total", "for Prometheus"),
];

/// A gRPC message is a zero byte, a length of four bytes, and the protobuf message. Here, field 1
/// is 1.
const MORE: &str = r#"  curl ADDR/checkout --json '{"items": [{"product": 1, "quantity": 2}]}'
  printf '\0\0\0\0\2\b\1' | curl -s --http2-prior-knowledge ADDR/shop.Prices/Get --data-binary @- \
    -H 'content-type: application/grpc' -H 'te: trailers' -i -o - | cat -v
"#;
