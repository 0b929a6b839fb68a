//! The child processes of these tests.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use canary_controller::store::{
    Document, EventRecord, FileStore, Retry, StateStore, StoreError, StoreKey, Swap,
};

/// The task of a child process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Swaps and appends alternately, 300 times, and prints a line after each.
    Write,
    /// Swaps once, and prints the result.
    SwapOnce,
    /// Increments the number in the document 100 times.
    Increment,
    /// Promotes a canary.
    Promote,
    /// Runs a rollout, and prints its status.
    Roll,
    /// Starts a rollout, and prints how it failed.
    StartWithoutSpace,
}

/// A running process, which is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a process that stops at `stop_at`, a `point:pass`, if given.
    pub(crate) fn start(task: Task, directory: &Path, stop_at: Option<&str>) -> Self {
        Self::spawn(Command::new(env::current_exe().unwrap()), task, directory, stop_at)
    }

    /// Starts a process that cannot write a byte to a file.
    pub(crate) fn start_without_space(task: Task, directory: &Path) -> Self {
        let mut command = Command::new("sh");
        // Without the trap, the signal at the limit would end the process.
        let limited = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
        command.args(["-c", limited]).arg(env::current_exe().unwrap());
        Self::spawn(command, task, directory, None)
    }

    fn spawn(mut command: Command, task: Task, directory: &Path, stop_at: Option<&str>) -> Self {
        command
            .args(["child::works_in_a_directory", "--exact", "--ignored", "--nocapture"])
            .env("CANARY_STORE_TASK", format!("{task:?}"))
            .env("CANARY_STORE_DIRECTORY", directory)
            .envs(stop_at.map(|point| ("CANARY_STORE_STOP_AT", point)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Returns the next line of output, or `None` if the process has ended.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    /// Waits for this line of output.
    pub(crate) fn wait_for(&mut self, expected: &str) {
        while let Some(line) = self.next_line() {
            if line == expected {
                return;
            }
        }
        panic!("the process has ended without printing {expected:?}");
    }

    /// Kills the process with SIGKILL, and returns the rest of its output.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // The last line may be incomplete.
        let mut rest = Vec::new();
        while let Some(Ok(line)) = self.lines.next() {
            rest.push(line);
        }
        rest
    }

    /// Waits for the process to end.
    pub(crate) fn wait(mut self) {
        while self.next_line().is_some() {}
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn key() -> StoreKey {
    StoreKey::try_new("crash", &"checkout".parse().unwrap()).unwrap()
}

/// The document with this number. It differs from all others in length and in every part.
pub(crate) fn document(number: u64) -> Document {
    let pad = pad(number).repeat(1 + usize::try_from(number % 300).unwrap());
    Document::try_new(format!(r#"{{"number":{number},"pad":"{pad}"}}"#)).unwrap()
}

/// The event with this number. It is long, so that the history is full soon.
pub(crate) fn event(number: u64) -> EventRecord {
    let pad = pad(number).repeat(200 + usize::try_from(number % 100).unwrap());
    EventRecord::try_new(format!(r#"{{"number":{number},"pad":"{pad}"}}"#)).unwrap()
}

/// Repeats a call of a store that had too little time on a busy machine, and changed nothing.
pub(crate) async fn patiently<T>(
    call: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for _ in 0..30 {
        match call().await {
            Err(error) if error.retry() == Retry::Later => {}
            result => return result,
        }
    }
    call().await
}

fn pad(number: u64) -> String {
    format!("{:024x}", u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c))
}

pub(crate) fn number(json: &str) -> u64 {
    let digits = json.trim_start_matches(r#"{"number":"#);
    let end = digits.find(|it: char| !it.is_ascii_digit()).unwrap();
    digits[..end].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "other tests run this as a child process"]
async fn works_in_a_directory() {
    let Ok(task) = env::var("CANARY_STORE_TASK") else { return };
    // Ends the line that the test harness has started.
    print("");
    let directory = PathBuf::from(env::var_os("CANARY_STORE_DIRECTORY").unwrap());
    if task == "Promote" {
        return super::promotion::promote(directory).await;
    }
    if task == "Roll" {
        return super::takeover::roll(directory).await;
    }
    if task == "StartWithoutSpace" {
        return super::quota::start(directory).await;
    }
    let store = FileStore::open(directory).await.unwrap();
    match task.as_str() {
        "Write" => write(&store).await,
        "SwapOnce" => {
            let swap = store.compare_and_swap(&key(), None, &document(1)).await;
            print(if matches!(swap, Ok(Swap::Done(_))) {
                "done".into()
            } else {
                format!("{swap:?}")
            });
        }
        "Increment" => {
            for _ in 0..100 {
                increment(&store).await;
            }
        }
        other => panic!("unknown task {other}"),
    }
}

async fn write(store: &FileStore) {
    let mut current = patiently(async || store.load(&key()).await).await.unwrap();
    let mut swapped = current.as_ref().map_or(0, |it| number(it.document.as_str()));
    let mut appended = patiently(async || store.events(&key(), 1).await).await.unwrap();
    for _ in 0..300 {
        let next = document(swapped + 1);
        let expected = current.as_ref().map(|it| &it.revision);
        let swap = patiently(async || store.compare_and_swap(&key(), expected, &next).await).await;
        assert!(matches!(swap, Ok(Swap::Done(_))), "there is no other writer: {swap:?}");
        swapped += 1;
        print(format!("swapped {swapped}"));
        current = patiently(async || store.load(&key()).await).await.unwrap();

        let last = appended.last().map_or(0, |it| number(it.as_str()));
        appended = vec![event(last + 1)];
        patiently(async || store.append_event(&key(), &appended[0]).await).await.unwrap();
        print(format!("appended {}", last + 1));
    }
}

async fn increment(store: &FileStore) {
    loop {
        let current = patiently(async || store.load(&key()).await).await.unwrap();
        let next = document(current.as_ref().map_or(0, |it| number(it.document.as_str())) + 1);
        let expected = current.as_ref().map(|it| &it.revision);
        match store.compare_and_swap(&key(), expected, &next).await {
            Ok(Swap::Done(_)) => break,
            Ok(Swap::Conflict(_)) => {}
            // On a busy machine, the lock can be taken for too long. Nothing was written.
            Err(error) => assert_eq!(error.retry(), Retry::Later),
        }
    }
}

pub(crate) fn print(line: impl Into<String>) {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", line.into()).and_then(|()| out.flush()).unwrap();
}
