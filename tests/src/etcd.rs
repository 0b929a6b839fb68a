//! etcd servers on free ports of the loopback interface.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use tempfile::TempDir;

use crate::skip::skip;

/// A member of an etcd cluster, with data in a temporary directory. It is killed when it is dropped.
#[derive(Debug)]
pub struct Etcd {
    program: PathBuf,
    directory: TempDir,
    settings: Settings,
    process: Mutex<Option<Process>>,
    log: Arc<Log>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// The thread that reads its log.
    reader: thread::JoinHandle<()>,
}

/// The lines that all processes of a member have logged.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

#[derive(Clone, Debug)]
struct Settings {
    name: String,
    scheme: &'static str,
    client_port: u16,
    peer_port: u16,
    /// All members: `name=peer URL`, separated by commas.
    cluster: String,
    arguments: Vec<String>,
}

impl Etcd {
    /// Starts a cluster of one member with further arguments. Without etcd, skips the test and returns
    /// `None`.
    #[must_use]
    pub fn start(test: &str, arguments: &[&str]) -> Option<Self> {
        Self::start_with_scheme(test, "http", arguments)
    }

    /// Like [`start`](Self::start), with TLS for clients. The arguments name the certificates.
    #[must_use]
    pub fn start_with_tls(test: &str, arguments: &[&str]) -> Option<Self> {
        Self::start_with_scheme(test, "https", arguments)
    }

    fn start_with_scheme(test: &str, scheme: &'static str, arguments: &[&str]) -> Option<Self> {
        let program = find(test)?;
        // Another program may take a port between its choice and its use.
        (0..5)
            .find_map(|_| {
                let settings = Settings::of(1, scheme, arguments).pop().expect("one member");
                let etcd = Self::new(program.clone(), settings);
                etcd.try_start().then_some(etcd)
            })
            .or_else(|| panic!("etcd does not start"))
    }

    /// Starts a cluster of several members. Without etcd, skips the test and returns `None`.
    #[must_use]
    pub fn start_cluster(test: &str, members: usize) -> Option<Vec<Self>> {
        let program = find(test)?;
        (0..5)
            .find_map(|_| {
                let settings = Settings::of(members, "http", &[]);
                let members: Vec<_> =
                    settings.into_iter().map(|it| Self::new(program.clone(), it)).collect();
                // A member is ready when a majority is.
                let is_started = thread::scope(|scope| {
                    let starts: Vec<_> =
                        members.iter().map(|member| scope.spawn(|| member.try_start())).collect();
                    starts.into_iter().all(|start| start.join().expect("a start does not panic"))
                });
                is_started.then_some(members)
            })
            .or_else(|| panic!("etcd does not start"))
    }

    fn new(program: PathBuf, settings: Settings) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { program, directory, settings, process: Mutex::default(), log: Arc::default() }
    }

    /// Returns the URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.settings.scheme, self.settings.client_port)
    }

    /// Kills the process with SIGKILL. The data stays.
    pub fn kill(&self) {
        if let Some(process) = self.process().take() {
            process.kill();
        }
    }

    /// Starts the process again, with its data, on the same ports.
    pub fn restart(&self) {
        self.kill();
        assert!((0..5).any(|_| self.try_start()), "etcd does not start again");
    }

    /// Kills the process and removes all data.
    pub fn wipe(&self) {
        self.kill();
        std::fs::remove_dir_all(self.data()).expect("the data can be removed");
    }

    /// Copies the data to a directory of the backup. The process is killed for that time.
    #[must_use]
    pub fn back_up(&self) -> TempDir {
        self.kill();
        let backup = tempfile::tempdir().expect("a temporary directory");
        copy(&self.data(), &backup.path().join("data"));
        self.restart();
        backup
    }

    /// Replaces the data by that of a backup. The process is killed for that time.
    pub fn restore(&self, backup: &TempDir) {
        self.wipe();
        copy(&backup.path().join("data"), &self.data());
        self.restart();
    }

    /// Stops the process with SIGSTOP. Its connections stay open, without responses.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Continues the process after [`freeze`](Self::freeze).
    pub fn unfreeze(&self) {
        self.signal("CONT");
    }

    /// Returns the id of the process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process().as_ref().expect("etcd is running").child.id()
    }

    fn signal(&self, signal: &str) {
        let id = self.process_id().to_string();
        let status = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -s {signal} fails");
    }

    /// Sends a request to the JSON form of etcd's API, and returns the body of the response. Keys and
    /// values in it are in base64.
    ///
    /// ```no_run
    /// // `no_run`, because it needs etcd.
    /// # let Some(etcd) = canary_tests::etcd::Etcd::start("an example", &[]) else { return };
    /// etcd.post("/v3/auth/enable", "{}");
    /// ```
    pub fn post(&self, path: &str, json: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.settings.client_port))
            .expect("etcd accepts connections");
        write!(
            stream,
            "POST {path} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            json.len()
        )
        .expect("etcd reads the request");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("etcd responds");
        let (head, body) = response.split_once("\r\n\r\n").expect("a response has a body");
        assert!(head.contains(" 200 "), "{path}: {response}");
        body.to_owned()
    }

    /// Enables authentication, with the user `root`, whose password is `r00t`, and the user `shop` with the
    /// password `s3cret`, who may read and write the keys with this prefix.
    pub fn enable_users(&self, prefix: &str) {
        // A cluster that has not agreed on its version has no users.
        self.wait_for_log("enabled capabilities for version");
        let [key, end] = ["/", "0"].map(|end| BASE64.encode(format!("/{prefix}{end}")));
        let permission = format!(
            r#"{{"name":"canary","perm":{{"permType":"READWRITE","key":"{key}","range_end":"{end}"}}}}"#
        );
        for (path, json) in [
            ("/v3/auth/user/add", r#"{"name":"root","password":"r00t"}"#),
            ("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#),
            ("/v3/auth/role/add", r#"{"name":"canary"}"#),
            ("/v3/auth/role/grant", permission.as_str()),
            ("/v3/auth/user/add", r#"{"name":"shop","password":"s3cret"}"#),
            ("/v3/auth/user/grant", r#"{"user":"shop","role":"canary"}"#),
            ("/v3/auth/enable", "{}"),
        ] {
            self.post(path, json);
        }
    }

    /// Waits until a line of the log contains this text.
    pub fn wait_for_log(&self, text: &str) {
        self.log.wait_for(0, &[text]);
    }

    /// Stores a value, like `etcdctl put`.
    pub fn put(&self, key: &str, value: &[u8]) {
        let (key, value) = (BASE64.encode(key), BASE64.encode(value));
        self.post("/v3/kv/put", &format!(r#"{{"key":"{key}","value":"{value}"}}"#));
    }

    /// Reads a value, like `etcdctl get`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let key = BASE64.encode(key);
        let response = self.post("/v3/kv/range", &format!(r#"{{"key":"{key}"}}"#));
        let response: serde_json::Value =
            serde_json::from_str(&response).expect("etcd responds with JSON");
        let stored = response.get("kvs")?.get(0)?;
        // An empty value is left out.
        let value = stored.get("value").map_or("", |value| value.as_str().expect("a string"));
        Some(BASE64.decode(value).expect("values are in base64"))
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts the process, and waits until it serves clients. Returns `false` if it ends before.
    fn try_start(&self) -> bool {
        let mut command = Command::new(&self.program);
        command.args(self.settings.arguments(&self.data()));
        // Debian's configuration is for its service.
        for (name, _) in
            env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ETCD_"))
        {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("etcd can be executed");
        let log = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (all, first) = (Arc::clone(&self.log), self.log.len());
        // Reads to the end, because the process waits if it cannot log.
        let reader = thread::spawn(move || {
            for line in log.split(b'\n').map_while(Result::ok) {
                all.push(String::from_utf8_lossy(&line).into_owned());
            }
            all.push(END.to_owned());
        });
        let process = Process { child, reader };
        let line = self.log.wait_for(first, &[READY, END]);
        if !line.contains(READY) {
            process.kill();
            return false;
        }
        *self.process() = Some(process);
        true
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Kills the process, and waits for the end of its log: the next process must not be taken for ended.
    fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process has ended");
        self.reader.join().expect("the reader does not panic");
    }
}

impl Log {
    fn len(&self) -> usize {
        self.lines().len()
    }

    fn push(&self, line: String) {
        self.lines().push(line);
        self.changed.notify_all();
    }

    /// Waits until a line from `first` on contains one of the texts. Returns the line.
    fn wait_for(&self, first: usize, texts: &[&str]) -> String {
        let mut lines = self.lines();
        loop {
            let is_found = |line: &&String| texts.iter().any(|text| line.contains(text));
            if let Some(line) = lines[first..].iter().find(is_found) {
                return line.clone();
            }
            let (guard, waited) =
                self.changed.wait_timeout(lines, TIMEOUT).unwrap_or_else(PoisonError::into_inner);
            lines = guard;
            assert!(!waited.timed_out(), "no line of the log contains {texts:?}: {lines:#?}");
        }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Settings {
    /// Returns the settings of the members of a cluster.
    fn of(members: usize, scheme: &'static str, arguments: &[&str]) -> Vec<Self> {
        let ports = free_ports(2 * members);
        let peers: Vec<_> = ports[members..].to_vec();
        let cluster = peers.iter().map(|port| format!("m{port}=http://127.0.0.1:{port}"));
        let cluster = cluster.collect::<Vec<_>>().join(",");
        let members = ports.iter().zip(peers).map(|(client_port, peer_port)| Self {
            name: format!("m{peer_port}"),
            scheme,
            client_port: *client_port,
            peer_port,
            cluster: cluster.clone(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
        });
        members.collect()
    }

    fn arguments(&self, data: &Path) -> Vec<String> {
        let Self { name, scheme, client_port, peer_port, cluster, arguments } = self;
        let client = format!("{scheme}://127.0.0.1:{client_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let own = [
            format!("--name={name}"),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={cluster}"),
            "--logger=zap".to_owned(),
        ];
        own.into_iter().chain(arguments.iter().cloned()).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()), "{} cannot be copied", from.display());
}

/// Returns free ports. etcd cannot report the port that the system chooses for port 0.
///
/// They are below those that the system chooses for outgoing connections, which could take the port of
/// a server that is killed and started again.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut ports = Vec::new();
    while ports.len() < count {
        let number = std::process::id() * 101 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + u16::try_from(number % 12_000).expect("below 12,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    ports
}

fn find(test: &str) -> Option<PathBuf> {
    let is_etcd = |path: &PathBuf| {
        Command::new(path).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let found = [PathBuf::from("etcd"), "/usr/bin/etcd".into()].into_iter().find(is_etcd);
    if found.is_none() {
        skip(test, "`etcd` is not on the PATH");
    }
    found
}

/// A part of the line that a member logs when it serves clients.
const READY: &str = "serving client traffic";

/// A line that stands for the end of a process.
const END: &str = "the process has ended";

/// Generous, because the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);
