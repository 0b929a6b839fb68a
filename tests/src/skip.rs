//! Tests that need a program which the machine may lack.

use std::{env, io::Write as _};

/// Says loudly why the calling test does not run. The test then returns.
///
/// # Panics
///
/// If `CANARY_TESTS_REQUIRE=1` is set, as it is in CI, where nothing may be missing.
pub fn skip(test: &str, reason: impl std::fmt::Display) {
    assert!(
        env::var_os("CANARY_TESTS_REQUIRE").is_none_or(|value| value != "1"),
        "{test} cannot run: {reason}"
    );
    // Not `eprintln!`, whose output the test harness keeps to itself when a test passes.
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {reason} ***");
}
