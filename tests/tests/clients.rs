//! Clients that are not ours: `curl`, a browser, and Python's grpcio.
//!
//! A test whose program the machine lacks says so and passes, unless `CANARY_TESTS_REQUIRE=1` is set.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod clients {
    mod browser;
    mod curl;
    mod grpcio;
}
