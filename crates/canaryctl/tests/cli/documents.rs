use tempfile::TempDir;

use crate::support::Ctl;

#[tokio::test]
async fn the_help_has_all_verbs_and_the_exit_statuses() {
    let help = Ctl::bare("--help").run().await.expect(0).stdout;
    for text in ["roll-back", "promote-fully", "wait", "Exit status:", "CANARY_SERVER"] {
        assert!(help.contains(text), "{text}: {help}");
    }
    let wait = Ctl::bare("wait --help").run().await.expect(0).stdout;
    assert!(wait.contains("3  the rollout waits for a person"), "{wait}");
    let approve = Ctl::bare("approve --help").run().await.expect(0).stdout;
    assert!(approve.contains("Usage: canaryctl approve [OPTIONS] [CANARY] <GATE>"), "{approve}");
    Ctl::bare("--version").run().await.expect(0);
}

/// clap's status 2 means a rollback here.
#[tokio::test]
async fn a_wrong_argument_has_the_status_of_an_error() {
    for line in ["", "dance", "wait --for done", "wait --timeout 5", "set-weight", "-o yaml list"] {
        let ended = Ctl::bare(line).run().await.expect(1);
        assert!(!ended.stderr.is_empty(), "{line}");
    }
    let ended = Ctl::bare("wait --for done").run().await;
    assert!(ended.stderr.contains("expected promoted, decided, paused or step=N"), "{ended:?}");
}

#[tokio::test]
async fn completions_and_manual_pages_need_no_server() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = Ctl::bare(&format!("completions {shell}")).run().await.expect(0);
        assert!(ended.stdout.contains("roll-back"), "{ended:?}");
    }
    let page = Ctl::bare("man").run().await.expect(0).stdout;
    assert!(page.contains(".TH canaryctl 1"), "{page}");
    let directory = TempDir::new().unwrap();
    Ctl::bare("man").arg(directory.path()).run().await.expect(0);
    let page = std::fs::read_to_string(directory.path().join("canaryctl-roll-back.1")).unwrap();
    assert!(page.contains("roll\\-back"), "{page}");
}
