use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, Metadata},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use canary_api::{Operator, Role};
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

/// A file with the digests of tokens. It is read again when it changes.
pub(crate) struct TokenFile {
    path: PathBuf,
    tokens: RwLock<Arc<[Token]>>,
    check: Mutex<Check>,
    /// The latest fault, and when the log said so.
    logged: Mutex<Option<(String, Instant)>>,
    /// When the file was checked. A check holds the lock, so that there is one at a time.
    checked: Arc<tokio::sync::Mutex<Instant>>,
    /// Whether the check under way takes so long that no request waits for it.
    is_stuck: AtomicBool,
}

struct Check {
    /// `None` if the file has to be read again in any case.
    stamp: Option<Stamp>,
    /// Why the file cannot be used as it is.
    fault: Option<String>,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// The device, the number of the file, and the time of its last change in seconds and nanoseconds. They
    /// change even if a copy keeps the time and the length.
    #[cfg(unix)]
    file: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            file: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

struct Token {
    digest: [u8; 32],
    operator: Operator,
}

impl TokenFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, TokenFileError> {
        let fail = |fault| TokenFileError { path: path.clone(), fault };
        let stamp = stamp(&path).map_err(|error| fail(Fault::Io(error)))?;
        let text = fs::read_to_string(&path).map_err(|error| fail(Fault::Io(error)))?;
        let tokens = parse(&text).map_err(fail)?;
        Ok(Self {
            path,
            tokens: RwLock::new(tokens.into()),
            check: Mutex::new(Check { stamp: Some(stamp), fault: None }),
            logged: Mutex::default(),
            checked: Arc::new(tokio::sync::Mutex::new(Instant::now())),
            is_stuck: AtomicBool::new(false),
        })
    }

    /// Returns the operator with this token. The time that it takes does not depend on the token.
    pub(super) async fn operator(self: &Arc<Self>, token: &str) -> Option<Operator> {
        self.check_if_due().await;
        let digest: [u8; 32] = Sha256::digest(token).into();
        let tokens = Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner));
        let mut found = u64::MAX;
        for (index, known) in (0_u64..).zip(&*tokens) {
            found.conditional_assign(&index, known.digest.ct_eq(&digest));
        }
        let found = usize::try_from(found).ok()?;
        tokens.get(found).map(|token| token.operator.clone())
    }

    /// Checks the file once a second, on a thread that may block. A file system that does not answer
    /// delays one request by a second.
    async fn check_if_due(self: &Arc<Self>) {
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        let patience = if is_stuck { Duration::ZERO } else { PATIENCE };
        let lock = Arc::clone(&self.checked).lock_owned();
        let Ok(mut checked) = tokio::time::timeout(patience, lock).await else {
            return self.report_no_answer();
        };
        if checked.elapsed() < TIME_BETWEEN_CHECKS {
            return;
        }
        let file = Arc::clone(self);
        let check = tokio::task::spawn_blocking(move || {
            let fault = file.check();
            file.is_stuck.store(false, Ordering::Relaxed);
            *checked = Instant::now();
            fault
        });
        match tokio::time::timeout(PATIENCE, check).await {
            Ok(fault) => self.report(fault.ok().flatten()),
            Err(_) => self.report_no_answer(),
        }
    }

    fn report_no_answer(&self) {
        self.is_stuck.store(true, Ordering::Relaxed);
        self.report(Some(format!("token file {}: no answer", self.path.display())));
    }

    /// Reads the file again if it has changed, and returns its fault. A half-written or missing file must
    /// not lock out all operators, so the former tokens stay valid.
    fn check(&self) -> Option<String> {
        let mut check = self.check.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = stamp(&self.path).map_err(Fault::Io).and_then(|now| {
            if check.stamp == Some(now) {
                return Ok(None);
            }
            // Before the file is read, so that a change in between is seen the next time.
            check.stamp = Some(now);
            let text = fs::read_to_string(&self.path).map_err(Fault::Io)?;
            parse(&text).map(Some)
        });
        match changed {
            Ok(None) => {}
            Ok(Some(tokens)) => {
                *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens.into();
                check.fault = None;
            }
            Err(fault) => {
                if matches!(fault, Fault::Io(_)) {
                    // The file can become readable without a new stamp.
                    check.stamp = None;
                }
                check.fault = Some(TokenFileError { path: self.path.clone(), fault }.to_string());
            }
        }
        check.fault.clone()
    }

    /// Logs a fault at once, and then once a minute.
    fn report(&self, fault: Option<String>) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(fault) = fault else {
            *logged = None;
            return;
        };
        let is_new = |(known, at): &(String, Instant)| {
            *known != fault || at.elapsed() >= TIME_BETWEEN_REPORTS
        };
        if logged.as_ref().is_none_or(is_new) {
            tracing::error!(target: "canary::audit", "{fault}: the former tokens stay valid");
            *logged = Some((fault, Instant::now()));
        }
    }
}

fn stamp(path: &PathBuf) -> io::Result<Stamp> {
    fs::metadata(path).map(|metadata| Stamp::of(&metadata))
}

fn parse(text: &str) -> Result<Vec<Token>, Fault> {
    let (mut names, mut digests) = (BTreeSet::new(), BTreeSet::new());
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let token = token(line).map_err(|fault| Fault::Line(number, fault))?;
        let (is_new, other) =
            (names.insert(token.operator.name.clone()), digests.insert(token.digest));
        if !is_new {
            return Err(Fault::Line(number, "an earlier line has the same name"));
        }
        if !other {
            return Err(Fault::Line(number, "an earlier line has the same digest"));
        }
        tokens.push(token);
    }
    if tokens.is_empty() { Err(Fault::Empty) } else { Ok(tokens) }
}

fn token(line: &str) -> Result<Token, &'static str> {
    let mut fields = line.splitn(4, ':');
    let mut field = || fields.next().unwrap_or_default().trim();
    let (name, role, digest, gates) = (field(), field(), field(), field());
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err("expected a name of 1 to 64 bytes before the first colon");
    }
    let role = match role {
        "view" => Role::View,
        "approve" => Role::Approve,
        "operate" => Role::Operate,
        _ => return Err("expected the role view, approve or operate after the name"),
    };
    let digest = hex(digest).ok_or("expected a SHA-256 of 64 hexadecimal digits after the role")?;
    let mut operator = Operator::new(name, role);
    if !gates.is_empty() {
        if role != Role::Approve {
            return Err("only the role approve can be bound to gates");
        }
        operator = operator.gates(gates.split(',').map(str::trim));
    }
    Ok(Token { digest, operator })
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
        *byte = 16 * digit(pair[0])? + digit(pair[1])?;
    }
    Some(bytes)
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The error for a file with tokens that cannot be used. The message names the file and the line, and
/// nothing that the line contains.
#[derive(thiserror::Error)]
#[error("token file {}: {fault}", .path.display())]
pub struct TokenFileError {
    path: PathBuf,
    fault: Fault,
}

canary_core::debug_as_display!(TokenFileError);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Io(io::Error),
    #[error("line {0}: {1}")]
    Line(usize, &'static str),
    #[error("expected at least one line `name:role:sha256`")]
    Empty,
}

const MAX_NAME_BYTES: usize = 64;

const TIME_BETWEEN_REPORTS: Duration = Duration::from_secs(60);

/// The time until a change of the file applies.
const TIME_BETWEEN_CHECKS: Duration = Duration::from_secs(1);

/// How long a request waits for a check.
const PATIENCE: Duration = Duration::from_secs(1);
