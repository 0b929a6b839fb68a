//! The commands of the README print the documented output.
#![allow(clippy::unwrap_used)]

use std::{io, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

#[tokio::test]
async fn each_command_of_the_readme_prints_its_comment() {
    let mut app = Command::new(env!("CARGO_BIN_EXE_who-gets-it"))
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(app.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    let address = line.split(['`', ' ']).find(|word| word.starts_with("127.0.0.1:")).unwrap();

    let jar = tempfile::tempdir().unwrap();
    let mut visitor = None;
    let mut commands = 0;
    for line in include_str!("../README.md").lines().filter(|line| line.starts_with("curl")) {
        let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
        let output = Command::new("sh")
            .arg("-c")
            .arg(command.replace("127.0.0.1:3000", address).replace("curl", CURL))
            .current_dir(jar.path())
            .kill_on_drop(true)
            .output();
        let output = timeout(TIMEOUT, output).await.unwrap().unwrap();
        if output.status.code() == Some(NOT_FOUND) {
            let message = String::from_utf8_lossy(&output.stderr);
            return skip(&format!("curl is missing: {message}"));
        }
        assert!(output.status.success(), "{command}: {output:?}");
        let answer = String::from_utf8(output.stdout).unwrap();
        let answer = answer.trim_end();
        match comment.trim() {
            "one of the two, sticky" => {
                assert!(["stable, sticky", "canary, sticky"].contains(&answer), "{answer}");
                visitor = Some(answer.to_owned());
            }
            "the same, sticky" => assert_eq!(Some(answer), visitor.as_deref(), "{command}"),
            comment => assert_eq!(answer, comment, "{command}"),
        }
        commands += 1;
    }
    assert_eq!(commands, 17);
}

/// Skips the test if a program is missing, except in CI.
fn skip(reason: &str) {
    let is_required = std::env::var_os("CANARY_TESTS_REQUIRE").is_some_and(|value| value == "1");
    assert!(!is_required, "{reason}");
    // The test harness hides the output of `eprintln!` when a test passes.
    _ = io::Write::write_fmt(&mut io::stderr(), format_args!("\n*** SKIPPED: {reason} ***\n"));
}

const CURL: &str = "curl --disable --noproxy '*' --silent --show-error --fail --max-time 30";
/// The exit status of a shell that cannot find a program.
const NOT_FOUND: i32 = 127;
const TIMEOUT: Duration = Duration::from_secs(60);
