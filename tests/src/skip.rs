//! Tests that need a program that may be missing.

use std::{env, io::Write as _};

/// Prints the reason why a test is skipped. The test then returns.
///
/// # Panics
///
/// If `CANARY_TESTS_REQUIRE=1` is set. CI sets it, because no program may be missing there.
pub fn skip(test: &str, reason: impl std::fmt::Display) {
    assert!(
        env::var_os("CANARY_TESTS_REQUIRE").is_none_or(|value| value != "1"),
        "{test} cannot run: {reason}"
    );
    // The test harness hides the output of `eprintln!` if the test passes.
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {reason} ***");
}
