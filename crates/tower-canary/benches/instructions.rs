//! How many instructions a call takes, as callgrind counts them: the same on a busy machine as on an idle
//! one. Fails if a case takes more than 5 % more than `instructions.txt` has it.
//!
//! ```sh
//! cargo bench -p tower-canary --features metrics --bench instructions            # compare
//! cargo bench -p tower-canary --features metrics --bench instructions -- --save  # write instructions.txt
//! cargo bench -p tower-canary --features metrics --bench instructions -- --parts "stable's call"
//! ```
//!
//! It needs Valgrind, Debian's package `valgrind`. Callgrind runs no vDSO: reading the clock looks cheaper
//! here than it is, which `calls` shows.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

mod cases;

use cases::{CASES, Case, Serve, bare_of};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|one| one != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [COUNTED, name] => {
            let mut serve = (case(name).prepare)();
            // Once uncounted: thread-locals and counters are made by the first call.
            serve(1);
            counted(&mut serve);
            ExitCode::SUCCESS
        }
        ["--parts", name] => {
            print!("{}", parts(case(name)));
            ExitCode::SUCCESS
        }
        ["--save"] => {
            save(&measure());
            ExitCode::SUCCESS
        }
        [] => compare(&measure()),
        _ => panic!("expected nothing, --save or --parts CASE, found {arguments:?}"),
    }
}

/// Callgrind counts in here.
#[inline(never)]
fn counted(serve: &mut Serve) {
    serve(CALLS);
}

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap_or_else(|| {
        let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        panic!("there is no case {name:?}, but {names:?}")
    })
}

type Instructions = BTreeMap<String, u64>;

fn measure() -> Instructions {
    cases::check();
    CASES.iter().map(|case| (case.name.to_owned(), instructions(&callgrind(case)))).collect()
}

/// Runs the case under callgrind, and says where the counts are.
fn callgrind(case: &Case) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("callgrind");
    fs::create_dir_all(&directory).unwrap();
    let counts = directory.join(case.name.replace(|char: char| !char.is_alphanumeric(), "-"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=instructions::counted"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(env::current_exe().unwrap())
        .args([COUNTED, case.name])
        .output()
        .unwrap_or_else(|error| panic!("valgrind cannot be run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} under valgrind: {said}", case.name);
    counts
}

/// The instructions of one call.
fn instructions(counts: &Path) -> u64 {
    let text = fs::read_to_string(counts).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    let total: u64 = total.trim().parse().unwrap();
    assert!(total > u64::from(CALLS), "callgrind saw none of the calls");
    (total + u64::from(CALLS) / 2) / u64::from(CALLS)
}

/// Where the instructions of one call go, function by function.
fn parts(case: &Case) -> String {
    let output = Command::new("callgrind_annotate").arg(callgrind(case)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // "266,000 (11.2%)  file:function [object]"
    let parts = text.lines().filter_map(|line| {
        let (count, function) = line.trim_start().split_once(" (")?;
        let calls = u64::from(CALLS);
        let count = count.replace(',', "").parse::<u64>().ok()? / calls;
        let (_, function) = function.split_once(')')?;
        let function = function.trim_start().trim_start_matches("???:");
        let function = function.split(" [").next()?;
        (count > 0).then(|| format!("{count:>6} {function}\n"))
    });
    parts.collect()
}

fn save(measured: &Instructions) {
    let lines: Vec<String> =
        CASES.iter().map(|case| format!("{}: {}\n", case.name, measured[case.name])).collect();
    fs::write(baseline_path(), lines.concat()).unwrap();
    print!("{}", lines.concat());
}

fn baseline_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

fn compare(measured: &Instructions) -> ExitCode {
    let text = fs::read_to_string(baseline_path()).unwrap();
    let baseline: Instructions = text
        .lines()
        .map(|line| {
            let (name, count) = line.rsplit_once(": ").unwrap();
            (name.to_owned(), count.parse().unwrap())
        })
        .collect();
    let mut worse = Vec::new();
    println!("{:<26} {:>6} {:>6} {:>7} {:>8}", "", "a call", "added", "before", "change");
    for case in CASES {
        let now = measured[case.name];
        let added = now - measured[bare_of(case)].min(now);
        let Some(&before) = baseline.get(case.name) else {
            worse.push(format!("{} is not in instructions.txt", case.name));
            continue;
        };
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let change = (now as f64 / before as f64 - 1.0) * 100.0;
        println!("{:<26} {now:>6} {added:>6} {before:>7} {change:>+7.1}%", case.name);
        if now * 100 > before * (100 + TOLERANCE) {
            worse.push(format!("{} takes {now} instructions, not {before}", case.name));
        }
    }
    if worse.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("{}: if that is meant, run this with --save", worse.join("; "));
    ExitCode::FAILURE
}

const COUNTED: &str = "--counted";
const CALLS: u32 = 2000;
/// Percent. Versions of the compiler differ by less.
const TOLERANCE: u64 = 5;
