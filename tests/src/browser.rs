//! A headless browser, if one is installed.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A headless browser with a temporary profile. Dropping it ends the browser and removes the
/// profile.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    profile: PathBuf,
}

impl Browser {
    /// Opens a page. The profile is created in `directory`.
    ///
    /// # Errors
    ///
    /// Returns the reason if no known browser is installed or it does not start.
    pub fn start(url: &str, directory: impl AsRef<Path>) -> Result<Self, String> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("browser-{}-{number}", std::process::id());
        let profile = directory.as_ref().join(name);
        fs::create_dir_all(&profile).expect("a directory for the profile");
        for program in PROGRAMS {
            let log = File::create(profile.join(LOG)).expect("a file for the log");
            let mut command = Command::new(program);
            command.args(FLAGS).arg(format!("--user-data-dir={}", profile.display())).arg(url);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
            match command.spawn() {
                Ok(process) => return Ok(Self { process, profile }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{program}: {error}")),
            }
        }
        let _ = fs::remove_dir_all(&profile);
        Err(format!("none of {PROGRAMS:?} is on the PATH"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser's child processes are in its process group.
        let group = format!("kill -s KILL -- -{}", self.process.id());
        let _ = Command::new("sh").args(["-c", &group]).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read(self.profile.join(LOG)).unwrap_or_default();
            eprintln!("the browser's log:\n{}", String::from_utf8_lossy(&log));
        }
        let _ = fs::remove_dir_all(&self.profile);
    }
}

const PROGRAMS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
];
const LOG: &str = "log.txt";
