//! Processes that end with the bench.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// A process that listens, until it is dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// This program again, as the server that `kind` names: it prints where it listens.
    pub(crate) fn server(kind: &str, directory: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        // The server ends when its standard input does, even if we are killed.
        command.args(["--serve", kind]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = Self::spawn(kind, &mut command, directory, ([127, 0, 0, 1], 0).into())?;
        let stdout = server.child.stdout.take().context("its output is a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        server.address =
            line.trim().parse().with_context(|| server.failure("printed no address"))?;
        Ok(server)
    }

    /// A proxy that was told to listen at `address`, once it accepts connections there.
    pub(crate) fn proxy(
        name: &str,
        command: &mut Command,
        directory: &Path,
        address: SocketAddr,
    ) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut proxy = Self::spawn(name, command, directory, address)?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, PATIENCE).is_err() {
            if let Some(status) = proxy.child.try_wait()? {
                bail!(proxy.failure(&format!("ended with {status}")));
            }
            if Instant::now() > deadline {
                bail!(proxy.failure(&format!("does not listen at {address}")));
            }
            thread::sleep(BETWEEN_TRIES);
        }
        Ok(proxy)
    }

    fn spawn(
        name: &str,
        command: &mut Command,
        directory: &Path,
        address: SocketAddr,
    ) -> Result<Self> {
        let log = directory.join(format!("{}.log", name.replace(' ', "-")));
        command.stderr(File::create(&log)?);
        let child = command.spawn().with_context(|| format!("{name}: cannot start {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, address, log })
    }

    fn failure(&self, what: &str) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        format!("{} {what}; its log:\n{}", self.name, String::from_utf8_lossy(&log))
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Not killed at once: nginx's master would leave its worker behind.
        let id = self.child.id().to_string();
        let _ = Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &id]).status();
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(BETWEEN_TRIES);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody listens at.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
