//! A headless browser, if one is installed.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
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
        let (mut browser, log) = Self::spawn(&[url], directory.as_ref())?;
        browser.keep_log(log);
        Ok(browser)
    }

    /// Starts a browser that is driven over the Chrome DevTools Protocol, and returns the URL of its
    /// WebSocket. The profile is created in `directory`.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_controlled(directory: impl AsRef<Path>) -> Result<(Self, String), String> {
        let arguments = ["--remote-debugging-port=0", "about:blank"];
        let (mut browser, log) = Self::spawn(&arguments, directory.as_ref())?;
        let url = browser.keep_log(log).recv();
        let url = url.map_err(|_| "the browser ended before it was ready".to_owned())?;
        Ok((browser, url))
    }

    fn spawn(arguments: &[&str], directory: &Path) -> Result<(Self, ChildStderr), String> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("browser-{}-{number}", std::process::id());
        let profile = directory.join(name);
        fs::create_dir_all(&profile).expect("a directory for the profile");
        for program in PROGRAMS {
            let mut command = Command::new(program);
            command.args(FLAGS).arg(format!("--user-data-dir={}", profile.display()));
            command.args(arguments).process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            match command.spawn() {
                Ok(mut process) => {
                    let log = process.stderr.take().expect("the log is piped");
                    return Ok((Self { process, profile }, log));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{program}: {error}")),
            }
        }
        let _ = fs::remove_dir_all(&profile);
        Err(format!("none of {PROGRAMS:?} is on the PATH"))
    }

    /// Copies the log to a file, and sends the URL of the protocol as soon as it is there.
    fn keep_log(&mut self, log: ChildStderr) -> mpsc::Receiver<String> {
        let mut file = File::create(self.profile.join(LOG)).expect("a file for the log");
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("DevTools listening on ") {
                    let _ = send.send(url.to_owned());
                }
                let _ = writeln!(file, "{line}");
            }
        });
        receive
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser's child processes are in its process group.
        let group = format!("kill -s KILL -- -{}", self.process.id());
        let _ = Command::new("sh").args(["-c", &group]).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
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
