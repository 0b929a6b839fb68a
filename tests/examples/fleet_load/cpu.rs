//! CPU times, as Linux counts them.

use std::{fs, time::Duration};

/// Returns the CPU time of the threads of this process with this name.
pub(crate) fn of_threads(name: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(&format!("({name})"))).map(|stat| time(&stat, 2)).sum()
}

/// Returns the CPU time of processes, and of their children that have ended.
pub(crate) fn of_processes(ids: &[u32]) -> Duration {
    let stats = ids.iter().filter_map(|id| fs::read_to_string(format!("/proc/{id}/stat")).ok());
    stats.map(|stat| time(&stat, 4)).sum()
}

/// Returns the sum of the first `fields` of `utime`, `stime`, `cutime` and `cstime`.
fn time(stat: &str, fields: usize) -> Duration {
    // The name can contain spaces, and ends with the last parenthesis.
    let (_, after_name) = stat.rsplit_once(')').expect("the name is in parentheses");
    let times = after_name.split_whitespace().skip(11).take(fields);
    let ticks = times.map(|time| time.parse::<u64>().expect("a number of ticks")).sum::<u64>();
    // A tick is 10 ms.
    Duration::from_millis(10 * ticks)
}
