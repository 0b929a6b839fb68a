//! Child processes, which end with the benchmark.

use std::{
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

/// A listening process. Dropping it ends the process.
pub(crate) struct Process {
    name: String,
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    /// Of a server.
    stdout: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program as the server `kind`, which prints its address.
    pub(crate) fn server(kind: &str, directory: &Path) -> Result<Self> {
        Self::serve(kind, directory, Command::new(env::current_exe()?))
    }

    /// Starts the server in callgrind, which writes the instructions since the last call of the
    /// function `mark` to a file of its own before each call.
    pub(crate) fn server_in_callgrind(
        kind: &str,
        directory: &Path,
        file: &Path,
        mark: &str,
    ) -> Result<Self> {
        let mut command = Command::new("valgrind");
        // With compressed names, a profile is readable only together with those before it.
        command
            .args(["--quiet", "--tool=callgrind", "--compress-strings=no"])
            .arg(format!("--dump-before=*{mark}*"))
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(env::current_exe()?);
        Self::serve(kind, directory, command)
    }

    fn serve(kind: &str, directory: &Path, mut command: Command) -> Result<Self> {
        // The server ends with its standard input, even if this process is killed.
        command.args(["--serve", kind]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = Self::spawn(kind, &mut command, directory, ([127, 0, 0, 1], 0).into())?;
        server.stdout = server.child.stdout.take().map(BufReader::new);
        let line = server.read_line()?;
        server.address =
            line.trim().parse().with_context(|| server.failure("did not print an address"))?;
        Ok(server)
    }

    /// Lets a server call its function `mark`, and waits until it has returned.
    pub(crate) fn mark(&mut self) -> Result<()> {
        self.child.stdin.as_mut().context("stdin must be a pipe")?.write_all(b"\n")?;
        let line = self.read_line()?;
        ensure!(!line.is_empty(), self.failure("ended early"));
        Ok(())
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.as_mut().context("stdout must be a pipe")?.read_line(&mut line)?;
        Ok(line)
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
        Ok(Self { name: name.to_owned(), child, address, log, stdout: None })
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
