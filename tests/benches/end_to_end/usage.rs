//! The CPU time and memory of processes, from `/proc`.

use std::fs;

use anyhow::{Context as _, Result};

use crate::child::Process;

/// Returns the CPU seconds of processes and their descendants.
///
/// It reads `schedstat`, because a clock tick in `stat` is as long as a few hundred calls. The time
/// of threads that end is lost, but no measured process ends a thread.
pub(crate) fn cpu_seconds<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Result<f64> {
    let mut nanos = 0;
    for process in processes {
        for id in tree(process.id())? {
            for task in tasks(id)? {
                let path = format!("/proc/{id}/task/{task}/schedstat");
                let text = fs::read_to_string(&path).with_context(|| path.clone())?;
                let on_core = text.split_whitespace().next().context(path)?;
                nanos += on_core.parse::<u64>()?;
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "2^53 ns are three months")]
    Ok(nanos as f64 / 1e9)
}

/// Returns the resident memory of processes and their descendants in MiB.
pub(crate) fn resident_mib<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Result<f64> {
    let mut kib = 0;
    for process in processes {
        for id in tree(process.id())? {
            let path = format!("/proc/{id}/status");
            let text = fs::read_to_string(&path).with_context(|| path.clone())?;
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context(path)?;
            kib += line.trim().trim_end_matches(" kB").parse::<u32>()?;
        }
    }
    Ok(f64::from(kib) / 1024.0)
}

fn tree(id: u32) -> Result<Vec<u32>> {
    let mut ids = vec![id];
    for task in tasks(id)? {
        let path = format!("/proc/{id}/task/{task}/children");
        let children = fs::read_to_string(&path).with_context(|| path.clone())?;
        for child in children.split_whitespace() {
            ids.extend(tree(child.parse()?)?);
        }
    }
    Ok(ids)
}

fn tasks(id: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{id}/task");
    let entries = fs::read_dir(&path).with_context(|| path.clone())?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?)).collect()
}
