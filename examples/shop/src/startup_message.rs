//! The message at startup: the address, and commands to try.

use std::net::SocketAddr;

use crate::cli::Options;

/// Prints the address and commands to try.
pub(crate) fn print(addr: SocketAddr, options: &Options) {
    let split = match &options.plan {
        Some(plan) => format!("and rolls out version 2 with {}", plan.display()),
        None => format!("and sends {} of calls to version 2", options.weight),
    };
    println!("the shop listens on http://{addr}, {split}\n\nwatch and steer it:");
    println!("  http://{addr}/canary/\n");
    print_commands(&CANARYCTL.map(|(arguments, comment)| (canaryctl(addr, arguments), comment)));
    println!("\ntry:");
    print_commands(&TRY.map(|(command, comment)| (with_addr(command, addr), comment)));
    println!("{}", with_addr(MORE, addr));
    if options.load.is_none() {
        println!("or start it with `--load 200 --v2-error-rate 5%` and watch the canary\n");
    }
}

fn print_commands(commands: &[(String, &str)]) {
    let widest = commands.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    for (command, comment) in commands {
        println!("  {command:<widest$} # {comment}");
    }
}

/// Returns a command line, with the server unless it is the default one.
fn canaryctl(addr: SocketAddr, arguments: &str) -> String {
    let server = match addr.to_string().as_str() {
        "127.0.0.1:3000" => String::new(),
        addr => format!(" --server http://{addr}/canary/"),
    };
    format!("cargo run -qp canaryctl --{server} {arguments}")
}

fn with_addr(text: &str, addr: SocketAddr) -> String {
    text.replace("ADDR", &addr.to_string())
}

const CANARYCTL: [(&str, &str); 3] = [
    ("watch", "live, on the terminal"),
    ("set-weight 50%", "effective for the next call"),
    ("roll-back -m 'wrong totals'", "version 1 serves all calls, and the canary's streams end"),
];

const TRY: [(&str, &str); 4] = [
    ("curl -i ADDR/products/1", "x-canary-channel is the channel"),
    ("curl -N ADDR/events", "server-sent events"),
    (
        r#"curl ADDR/canary/canaries/shop/commands --json '{"command": "roll_back"}'"#,
        "the API behind the page",
    ),
    ("curl -s ADDR/metrics | grep canary_requests_total", "for Prometheus"),
];

/// A gRPC message is a zero byte, a length of four bytes, and the protobuf message. Here, field 1
/// is 1.
const MORE: &str = r#"  curl ADDR/checkout --json '{"items": [{"product": 1, "quantity": 2}]}'
  printf '\0\0\0\0\2\b\1' | curl -s --http2-prior-knowledge ADDR/shop.Prices/Get --data-binary @- \
    -H 'content-type: application/grpc' -H 'te: trailers' -i -o - | cat -v
"#;
