//! A PostgreSQL server in a temporary directory.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::TempDir;

use crate::skip::skip;

/// A server of its own, on a free port of the loopback interface, with a database `shop`, which belongs
/// to the role `shop`. The role `guarded` has the same rights, and only it needs its password, `secret`.
///
/// The server is killed when it is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    programs: PathBuf,
    directory: TempDir,
    user: Option<User>,
    settings: Vec<String>,
    port: u16,
    process: Child,
}

/// The user that owns the server: it refuses to run as root.
#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl PostgresServer {
    /// Starts a server, or skips the test if PostgreSQL is not installed.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &["fsync=off"], |_| {})
    }

    /// Like [`start`](Self::start), with settings, and with files that `prepare` writes into the data
    /// directory.
    #[must_use]
    pub fn start_with(test: &str, settings: &[&str], prepare: impl Fn(&Path)) -> Option<Self> {
        let Some(programs) = programs() else {
            skip(test, "PostgreSQL is not installed");
            return None;
        };
        let user = user();
        let directory = directory_of(user);
        let data = directory.path().join("data");
        let initialized = command(&programs.join("initdb"), user)
            .args(["--no-sync", "--no-instructions", "--auth=trust", "--username=postgres"])
            .args(["--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(initialized.status.success(), "{}", text(&initialized.stderr));
        let access = "host all guarded 127.0.0.1/32 scram-sha-256\n\
            host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n";
        fs::write(data.join("pg_hba.conf"), access).expect("the directory exists");
        prepare(&data);
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = Self::run(programs, directory, user, settings);
        server.sql("postgres", "create role shop login");
        server.sql("postgres", "create role guarded login password 'secret' in role shop");
        server.sql("postgres", "create database shop owner shop");
        Some(server)
    }

    fn run(
        programs: PathBuf,
        directory: TempDir,
        user: Option<User>,
        settings: Vec<String>,
    ) -> Self {
        let mut last_log = String::new();
        // Another process can take the port in between.
        for _ in 0..5 {
            let port = free_port();
            match spawn(&programs, directory.path(), user, &settings, port) {
                Ok(process) => {
                    return Self { programs, directory, user, settings, port, process };
                }
                Err(log) => last_log = log,
            }
        }
        panic!("PostgreSQL does not start: {last_log}");
    }

    /// Starts a replica of this server, which follows its changes.
    #[must_use]
    pub fn standby(&self) -> Self {
        let directory = directory_of(self.user);
        let copied = command(&self.programs.join("pg_basebackup"), self.user)
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()])
            .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--pgdata"])
            .arg(directory.path().join("data"))
            .output()
            .expect("pg_basebackup runs");
        assert!(copied.status.success(), "{}", text(&copied.stderr));
        Self::run(self.programs.clone(), directory, self.user, self.settings.clone())
    }

    /// Returns the URL of the database for the role `shop`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("shop", "shop")
    }

    /// Returns the URL of a database for a role, which may have a password: `guarded:secret`.
    #[must_use]
    pub fn url_of(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Executes SQL as the superuser, and returns the rows as text, with `|` between columns.
    #[must_use = "the rows"]
    pub fn query(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"])
            .args(["-U", "postgres", "-p", &self.port.to_string(), "-d", database, "-c", sql])
            .output()
            .expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", text(&output.stderr));
        text(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// Executes SQL as the superuser.
    pub fn sql(&self, database: &str, sql: &str) {
        let _ = self.query(database, sql);
    }

    /// Returns the SQL that creates the tables of a database again, with their data.
    #[must_use]
    pub fn dump(&self, database: &str) -> String {
        let output = Command::new(self.programs.join("pg_dump"))
            .args(["--clean", "--if-exists", "-h", "127.0.0.1", "-U", "postgres"])
            .args(["-p", &self.port.to_string(), "-d", database])
            .output()
            .expect("pg_dump runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Replaces the tables of a database by those of a [`dump`](Self::dump), in one transaction.
    pub fn restore(&self, database: &str, dump: &str) {
        let file = self.directory.path().join("dump.sql");
        fs::write(&file, dump).expect("the directory exists");
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-h", "127.0.0.1"])
            .args(["-U", "postgres", "-p", &self.port.to_string(), "-d", database, "-f"])
            .arg(&file)
            .output()
            .expect("psql runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// Kills all processes of the server, as a power failure would.
    pub fn kill(&mut self) {
        // Stopped first, so that it does not react to the death of its children.
        signal("STOP", &[self.process.id()]);
        signal("KILL", &self.processes());
        self.process.wait().expect("the server is our child");
    }

    /// Starts the server again, on the same port, with its data.
    ///
    /// Like any server after a crash, it does not start before the processes of the old one are gone.
    pub fn restart(&mut self) {
        for _ in 0..100 {
            let spawned =
                spawn(&self.programs, self.directory.path(), self.user, &self.settings, self.port);
            if let Ok(process) = spawned {
                self.process = process;
                return;
            }
        }
        panic!("PostgreSQL does not start again");
    }

    /// Stops all processes of the server without ending them: connections stay open, and no request is
    /// answered.
    pub fn freeze(&self) {
        signal("STOP", &[self.process.id()]);
        signal("STOP", &self.processes());
    }

    /// Reverts [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        signal("CONT", &self.processes());
    }

    /// Returns the ids of the main process and its children. They are in different process groups.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let main = self.process.id();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        children.chain([main]).collect()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.kill();
        }
    }
}

/// PgBouncer in front of a server, in the mode `transaction`. It is killed when it is dropped.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    process: Child,
    _directory: TempDir,
}

impl Pooler {
    /// Starts a pooler for the database `shop`, or skips the test if PgBouncer is not installed.
    ///
    /// # Panics
    ///
    /// Panics if PgBouncer does not start.
    #[must_use]
    pub fn start(test: &str, server: &PostgresServer) -> Option<Self> {
        let found = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new);
        let Some(program) = found.into_iter().find(|path| path.exists()) else {
            skip(test, "PgBouncer is not installed");
            return None;
        };
        let directory = directory_of(server.user);
        let (port, server_port) = (free_port(), server.port);
        let settings = format!(
            "[databases]\nshop = host=127.0.0.1 port={server_port} dbname=shop user=shop\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             pool_mode = transaction\nunix_socket_dir =\n"
        );
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("the directory exists");
        let mut command = command(program, server.user);
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("pgbouncer runs");
        let mut log = BufReader::new(process.stderr.take().expect("the log is a pipe")).lines();
        let is_up = |line: String| line.contains("process up");
        assert!(log.any(|line| line.is_ok_and(is_up)), "PgBouncer does not start");
        thread::spawn(move || log.for_each(drop));
        Some(Self { port, process, _directory: directory })
    }

    /// Returns the URL of the database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://shop@127.0.0.1:{}/shop", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts the server, and waits until it accepts connections.
fn spawn(
    programs: &Path,
    directory: &Path,
    user: Option<User>,
    settings: &[String],
    port: u16,
) -> Result<Child, String> {
    let mut command = command(&programs.join("postgres"), user);
    command.arg("-D").arg(directory.join("data"));
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=16MB"]
    {
        command.args(["-c", setting]);
    }
    for setting in settings {
        command.args(["-c", setting]);
    }
    command.args(["-p", &port.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = command.stderr(Stdio::piped()).spawn().expect("postgres runs");
    let mut log = BufReader::new(process.stderr.take().expect("the log is a pipe")).lines();
    let mut lines = String::new();
    while let Some(Ok(line)) = log.next() {
        let is_ready = line.contains("database system is ready to accept");
        lines += &(line + "\n");
        if is_ready {
            // A full pipe would block the server.
            thread::spawn(move || log.for_each(drop));
            return Ok(process);
        }
    }
    process.wait().expect("the server is our child");
    Err(lines)
}

fn directory_of(user: Option<User>) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    own(directory.path(), user);
    directory
}

/// Copies a file into the data directory, for the server's eyes only: it refuses other keys for TLS.
pub fn install(file: &Path, data: &Path) {
    let copy = data.join(file.file_name().expect("a file has a name"));
    fs::copy(file, &copy).expect("both directories exist");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    own(&copy, user());
}

fn own(path: &Path, user: Option<User>) {
    if let Some(User { uid, gid }) = user {
        chown(path, Some(uid), Some(gid)).expect("this process is root");
    }
}

fn command(program: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    // The working directory of the test may be closed to the user.
    command.current_dir("/").env("LC_ALL", "C");
    command
}

fn signal(name: &str, processes: &[u32]) {
    let ids = processes.iter().map(ToString::to_string);
    // A process may have ended meanwhile.
    let _ = Command::new("kill").arg(format!("-{name}")).args(ids).stderr(Stdio::null()).status();
}

/// Returns the directory of the programs of the newest version. Debian does not put it on the PATH.
fn programs() -> Option<PathBuf> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = installed.map(|entry| entry.path()).filter_map(|path| {
        let version = version(&path)?;
        let programs = path.join("bin");
        programs.join("initdb").exists().then_some((version, programs))
    });
    let newest = installed.max().map(|(_, programs)| programs);
    newest.or_else(|| {
        let path = env::var_os("PATH")?;
        env::split_paths(&path).find(|directory| directory.join("initdb").exists())
    })
}

/// Returns the user to run as, if this process is root.
fn user() -> Option<User> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().ok()?;
        text(&output.stdout).trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let of = |name| Some(User { uid: id(&["-u", name])?, gid: id(&["-g", name])? });
    of("postgres").or_else(|| of("daemon"))
}

/// Returns a port that is free now.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
