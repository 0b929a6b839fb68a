//! The command line of canary rollouts.

fn main() {}
