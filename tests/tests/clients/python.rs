//! Python scripts of `clients/`, which need packages.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    process::{Output, Stdio},
    time::Duration,
};

use canary_tests::timeout::complete;
use serde_json::Value;
use tokio::{process::Command, sync::OnceCell, time::timeout};

/// Longer than all calls of a script may take.
const HANG: Duration = Duration::from_secs(150);

/// A Python with the packages of `requirements.txt`.
pub(crate) struct Python(PathBuf);

impl Python {
    /// Creates a virtual environment if it is missing or incomplete. Returns the reason if it cannot.
    pub(crate) async fn with_packages() -> Result<&'static Self, &'static str> {
        static PYTHON: OnceCell<Result<Python, String>> = OnceCell::const_new();
        let python = PYTHON.get_or_init(async || install().await.map(Self)).await;
        python.as_ref().map_err(String::as_str)
    }

    /// Runs a script, and returns the JSON that it prints.
    pub(crate) async fn run(&self, script: &str, arguments: &[&str]) -> Value {
        let mut command = Command::new(&self.0);
        command.arg(clients().join(script)).args(arguments);
        Self::output(&mut command).await
    }

    /// Like [`run`](Self::run), with the text of a script.
    pub(crate) async fn run_text(&self, script: &str) -> Value {
        Self::output(Command::new(&self.0).args(["-c", script])).await
    }

    /// Runs a module that tests something. Its report is the message if it fails.
    pub(crate) async fn module(&self, module: &str, arguments: &[&str]) {
        let mut command = Command::new(&self.0);
        command.args(["-m", module]).args(arguments).current_dir(env!("CARGO_TARGET_TMPDIR"));
        let output = finish(&mut command).await;
        let report = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&report));
    }

    /// Returns the path of a file in `clients/`.
    pub(crate) fn file(name: &str) -> String {
        clients().join(name).into_os_string().into_string().unwrap()
    }

    async fn output(command: &mut Command) -> Value {
        let output = finish(command).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Runs Python to its end. If it hangs, it is killed, and its standard error has the stacks of its
/// threads.
async fn finish(python: &mut Command) -> Output {
    python.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let process = python.env("PYTHONFAULTHANDLER", "1").spawn().unwrap();
    let id = process.id().unwrap();
    let mut output = pin!(process.wait_with_output());
    if let Ok(output) = timeout(HANG, &mut output).await {
        return output.unwrap();
    }
    let abort = Command::new("kill").args(["-ABRT", &id.to_string()]).status().await.unwrap();
    assert!(abort.success(), "{python:?} hangs, and cannot be killed");
    complete(output).await.unwrap()
}

async fn install() -> Result<PathBuf, String> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = environment.join("bin/python");
    let requirements = clients().join("requirements.txt");
    let wanted = fs::read_to_string(&requirements).unwrap();
    // This file is written last, so that an interrupted installation is repeated.
    let installed = environment.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    step(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment)).await?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    pip.args(["--only-binary", ":all:", "--no-deps", "--requirement"]).arg(&requirements);
    step(&mut pip).await?;
    fs::write(installed, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}

async fn step(command: &mut Command) -> Result<(), String> {
    let output = command.kill_on_drop(true).output().await;
    let command = command.as_std();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let output_text = [output.stdout, output.stderr].concat();
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output_text)))
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}
