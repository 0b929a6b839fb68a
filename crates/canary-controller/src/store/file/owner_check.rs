use std::{
    collections::HashSet,
    fs::Metadata,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Warns of files that other users can change, once for each file.
#[derive(Default)]
pub(super) struct OwnerCheck {
    warned: Mutex<HashSet<PathBuf>>,
}

impl OwnerCheck {
    pub(super) fn check(&self, path: &Path, metadata: &Metadata) {
        let Some(why) = exposure(metadata) else { return };
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(path.to_owned()) {
            let file = path.display();
            tracing::warn!(target: "canary_controller", %file, "{why}, and so decide about rollouts");
        }
    }
}

/// Returns who else can change the file.
#[cfg(unix)]
fn exposure(metadata: &Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    use rustix::process::geteuid;

    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    // The superuser can change every file.
    if owner != own && owner != 0 {
        return Some(format!("the file belongs to user {owner}, who can change it"));
    }
    let mode = metadata.mode() & 0o7777;
    (mode & 0o022 != 0).then(|| format!("with mode {mode:04o} other users can change the file"))
}

#[cfg(not(unix))]
const fn exposure(_metadata: &Metadata) -> Option<String> {
    None
}
