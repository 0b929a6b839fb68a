//! Child processes, which end with the benchmark.

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

/// A listening process. Dropping it ends the process.
pub(crate) struct Process {
    name: String,
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// Starts this program as the server `kind`, which prints its address.
    pub(crate) fn server(kind: &str, directory: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        // The server ends with its standard input, even if this process is killed.
        command.args(["--serve", kind]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = Self::spawn(kind, &mut command, directory, ([127, 0, 0, 1], 0).into())?;
        let stdout = server.child.stdout.take().context("stdout must be a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        server.address =
            line.trim().parse().with_context(|| server.failure("did not print an address"))?;
        Ok(server)
    }

    /// Starts a proxy, and waits until it accepts connections at `address`.
    pub(crate) fn proxy(
        name: &str,
        command: &mut Command,
        directory: &Path,
        address: SocketAddr,
    ) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut proxy = Self::spawn(name, command, directory, address)?;
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect_timeout(&address, TIMEOUT).is_err() {
            if let Some(status) = proxy.child.try_wait()? {
                bail!(proxy.failure(&format!("ended with {status}")));
            }
            if Instant::now() > deadline {
                bail!(proxy.failure(&format!("does not listen at {address}")));
            }
            thread::sleep(RETRY_INTERVAL);
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

    fn failure(&self, problem: &str) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        format!("{} {problem}; its log:\n{}", self.name, String::from_utf8_lossy(&log))
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
        // A killed nginx master would leave its worker running.
        let id = self.child.id().to_string();
        let _ = Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &id]).status();
        let deadline = Instant::now() + TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(RETRY_INTERVAL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a free address.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

const TIMEOUT: Duration = Duration::from_secs(20);
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
