//! The process that is started, and killed.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use canary_controller::store::{Document, EventRecord, FileStore, StateStore, StoreKey, Swap};

/// What the process does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Swaps and appends by turns, and says so each time, until it is killed, or 300 times.
    Write,
    /// Swaps once, and says how that ended.
    SwapOnce,
    /// Adds one to the number of the document, a hundred times.
    Increment,
    /// Promotes a canary.
    Promote,
}

/// A running process, which is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts it, to stop at `point:pass` if one is given.
    pub(crate) fn start(task: Task, directory: &Path, stop_at: Option<&str>) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
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

    /// The next line that it says, or none if it has ended.
    pub(crate) fn says(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    /// Waits until it says this.
    pub(crate) fn hear(&mut self, expected: &str) {
        while let Some(line) = self.says() {
            if line == expected {
                return;
            }
        }
        panic!("it has ended without saying {expected:?}");
    }

    /// Kills it with SIGKILL, and returns what it had said meanwhile.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // A line that was cut is one that was not said.
        let mut rest = Vec::new();
        while let Some(Ok(line)) = self.lines.next() {
            rest.push(line);
        }
        rest
    }

    /// Waits until it ends by itself.
    pub(crate) fn ends(mut self) {
        while self.says().is_some() {}
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

/// The document with this number, unlike any other in length and in every part.
pub(crate) fn document(number: u64) -> Document {
    let pad = pad(number).repeat(1 + usize::try_from(number % 300).unwrap());
    Document::try_new(format!(r#"{{"number":{number},"pad":"{pad}"}}"#)).unwrap()
}

/// The event with this number: long, so that the history is soon full.
pub(crate) fn event(number: u64) -> EventRecord {
    let pad = pad(number).repeat(200 + usize::try_from(number % 100).unwrap());
    EventRecord::try_new(format!(r#"{{"number":{number},"pad":"{pad}"}}"#)).unwrap()
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
#[ignore = "it is what the other tests start"]
async fn works_in_a_directory() {
    let Ok(task) = env::var("CANARY_STORE_TASK") else { return };
    // Behind what the test harness says before it.
    say("");
    let directory = PathBuf::from(env::var_os("CANARY_STORE_DIRECTORY").unwrap());
    if task == "Promote" {
        return super::promotion::promote(directory).await;
    }
    let store = FileStore::open(directory).await.unwrap();
    match task.as_str() {
        "Write" => write(&store).await,
        "SwapOnce" => {
            let swap = store.compare_and_swap(&key(), None, &document(1)).await;
            say(if matches!(swap, Ok(Swap::Done(_))) {
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
        other => panic!("there is no task {other}"),
    }
}

async fn write(store: &FileStore) {
    let mut current = store.load(&key()).await.unwrap();
    let mut swapped = current.as_ref().map_or(0, |it| number(it.document.as_str()));
    let mut appended = store.events(&key(), 1).await.unwrap();
    for _ in 0..300 {
        let next = document(swapped + 1);
        let expected = current.as_ref().map(|it| &it.revision);
        let swap = store.compare_and_swap(&key(), expected, &next).await.unwrap();
        assert!(matches!(swap, Swap::Done(_)), "nobody else writes: {swap:?}");
        swapped += 1;
        say(format!("swapped {swapped}"));
        current = store.load(&key()).await.unwrap();

        let last = appended.last().map_or(0, |it| number(it.as_str()));
        appended = vec![event(last + 1)];
        store.append_event(&key(), &appended[0]).await.unwrap();
        say(format!("appended {}", last + 1));
    }
}

async fn increment(store: &FileStore) {
    loop {
        let current = store.load(&key()).await.unwrap();
        let next = document(current.as_ref().map_or(0, |it| number(it.document.as_str())) + 1);
        let expected = current.as_ref().map(|it| &it.revision);
        match store.compare_and_swap(&key(), expected, &next).await {
            Ok(Swap::Done(_)) => break,
            Ok(Swap::Conflict(_)) => {}
            // Others were before it for too long, on a busy machine; nothing was written.
            Err(error) => assert_eq!(error.retry(), canary_controller::store::Retry::Later),
        }
    }
}

pub(crate) fn say(line: impl Into<String>) {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", line.into()).and_then(|()| out.flush()).unwrap();
}
