use std::{path::Path, process::Stdio, time::Duration};

use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

/// The binary with its arguments. Its environment has no setting of the person who runs the tests.
pub(crate) struct Ctl {
    command: Command,
    home: TempDir,
}

/// The result of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A process whose lines are read while it runs.
pub(crate) struct Running {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    _home: TempDir,
}

impl Ctl {
    /// `line` has the arguments, separated by spaces. `'` surrounds an argument with spaces.
    pub(crate) fn new(url: &str, line: &str) -> Self {
        let ctl = Self::bare(line);
        ctl.env("CANARY_SERVER", url)
    }

    /// The binary without a server.
    pub(crate) fn bare(line: &str) -> Self {
        let home = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_canaryctl"));
        command.env_clear().env("XDG_CONFIG_HOME", home.path()).kill_on_drop(true);
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                command.arg(part);
            } else {
                command.args(part.split_whitespace());
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, home }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<Path>) -> Self {
        self.command.arg(arg.as_ref());
        self
    }

    /// Writes the configuration file.
    pub(crate) fn config(self, text: &str) -> Self {
        let directory = self.home.path().join("canaryctl");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("config.toml"), text).unwrap();
        self
    }

    /// Runs the process to its end.
    pub(crate) async fn run(mut self) -> Ended {
        let output =
            timeout(HANG, self.command.output()).await.expect("the process hangs").unwrap();
        Ended {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the process.
    pub(crate) fn start(mut self) -> Running {
        let mut child = self.command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, stdout, stderr, _home: self.home }
    }
}

impl Ended {
    /// Returns the output of a process that must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Running {
    /// Waits for a line of the standard output that contains a text.
    pub(crate) async fn prints(&mut self, text: &str) -> String {
        find(&mut self.stdout, text).await
    }

    /// Waits for a note that contains a text.
    pub(crate) async fn notes(&mut self, text: &str) -> String {
        find(&mut self.stderr, text).await
    }

    /// Waits for the end. The output is that since the last line that was read.
    pub(crate) async fn end(mut self) -> Ended {
        let status = timeout(HANG, self.child.wait()).await.expect("the process hangs").unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.into_inner().read_to_string(&mut stdout).await.unwrap();
        self.stderr.into_inner().read_to_string(&mut stderr).await.unwrap();
        Ended { status: status.code().unwrap(), stdout, stderr }
    }
}

async fn find<R: tokio::io::AsyncBufRead + Unpin>(lines: &mut Lines<R>, text: &str) -> String {
    let mut others = Vec::new();
    loop {
        let line = timeout(HANG, lines.next_line()).await;
        match line.unwrap_or_else(|_| panic!("no line with {text:?} came: {others:#?}")).unwrap() {
            Some(line) if line.contains(text) => return line,
            Some(line) => others.push(line),
            None => panic!("the process ended without a line with {text:?}: {others:#?}"),
        }
    }
}

/// The time after which a test fails instead of waiting.
const HANG: Duration = Duration::from_secs(120);
