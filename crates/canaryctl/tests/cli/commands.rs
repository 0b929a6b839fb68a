use canary_api::{CanaryView, CommandResponse, Phase as ApiPhase, PreviewView, VariablesView};
use canary_controller::Phase;

use crate::support::{PLAN_WITH_GATE, Shop, ada};

#[tokio::test]
async fn a_canary_is_listed_and_shown() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let list = shop.ctl("list").run().await.expect(0);
    let line = list.stdout.lines().nth(1).unwrap();
    assert!(line.starts_with("shop  running     10%"), "{list:?}");
    let views: Vec<CanaryView> = shop.ctl("list -o json").run().await.expect(0).json();
    assert_eq!(views[0].name, "shop");

    // The canary may be named, or left out.
    for line in ["show", "show shop", "get"] {
        let show = shop.ctl(line).run().await.expect(0);
        for text in ["step 1 of 2, holding at 10%", "stable   v1", "canary   v2", "step 2", "share"]
        {
            assert!(show.stdout.contains(text), "{text}: {show:?}");
        }
    }
    let view: CanaryView = shop.ctl("-o json show shop").run().await.expect(0).json();
    assert_eq!((view.phase, view.weight.as_str()), (ApiPhase::Running, "10%"));
}

#[tokio::test]
async fn an_unknown_canary_is_an_error_that_names_the_others() {
    let shop = Shop::new().await;
    for line in
        ["show shpo", "pause shpo", "roll-back shpo", "events shpo", "vars shpo", "why shpo"]
    {
        let ended = shop.ctl(line).run().await.expect(1);
        assert!(ended.stderr.contains("canaries of the server: shop"), "{line}: {ended:?}");
        assert!(ended.stdout.is_empty(), "{line}: {ended:?}");
    }
}

#[tokio::test]
async fn a_command_has_its_author_and_its_reason() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let pause = shop.ctl("pause -m 'lunch\u{1b}[2J'").run().await.expect(0);
    // What a reason holds does not reach the terminal.
    assert!(!pause.stdout.contains('\u{1b}'), "{pause:?}");
    assert!(pause.stdout.contains(" localhost paused"), "{pause:?}");
    assert!(pause.stdout.contains("lunch"), "{pause:?}");
    assert_eq!(shop.phase(), Phase::Paused);

    let again = shop.ctl("pause shop").run().await.expect(0);
    assert!(again.stdout.contains("nothing has changed: "), "{again:?}");
    let resume: CommandResponse = shop.ctl("resume --yes -o json").run().await.expect(0).json();
    assert_eq!((resume.events.len(), resume.events[0].kind.as_str()), (1, "resumed"));
}

#[tokio::test]
async fn each_command_takes_effect() {
    let shop = Shop::new().await;
    for (line, phase) in [
        ("start --yes", Phase::Running),
        ("skip-step --yes", Phase::Running),
        ("set-weight 5", Phase::Paused),
        ("resume -y", Phase::Running),
        ("restart -y", Phase::Running),
        ("roll-back", Phase::RolledBack),
        ("halt shop", Phase::Halted),
        ("lift-halt", Phase::RolledBack),
        ("start -y", Phase::Running),
        ("promote-fully shop -y -m done", Phase::Promoted),
    ] {
        shop.ctl(line).run().await.expect(0);
        shop.until(phase).await;
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_effect_and_changes_nothing() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let before = shop.history().await;
    for line in
        ["roll-back", "promote-fully", "set-weight 20%", "halt", "restart", "vars shop backend=b2"]
    {
        let dry = shop.ctl(&format!("{line} --dry-run")).run().await.expect(0);
        assert!(dry.stdout.contains('.'), "{line}: {dry:?}");
        let preview: PreviewView =
            shop.ctl(&format!("{line} --dry-run -o json")).run().await.expect(0).json();
        assert_eq!(preview.from, "10%", "{line}");
    }
    let text = shop.ctl("roll-back --dry-run").run().await.expect(0).stdout;
    assert!(text.starts_with("The next call is served by v1."), "{text}");
    assert_eq!(shop.history().await, before);
    let dry = shop.ctl("drain --stable --close --dry-run").run().await.expect(0);
    assert_eq!(dry.stdout, "0 open calls of stable are closed.\n");
    // A dry run of a command that would be refused is refused.
    shop.ctl("approve lawyer --dry-run").run().await.expect(5);
}

#[tokio::test]
async fn without_a_terminal_a_dangerous_command_needs_yes() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    for line in ["promote", "promote-fully", "restart", "skip-step", "set-weight 20%"] {
        let ended = shop.ctl(line).run().await.expect(1);
        assert!(ended.stderr.contains("needs --yes without a terminal"), "{line}: {ended:?}");
    }
    assert_eq!(shop.history().await.len(), 2, "{:?}", shop.history().await);
    shop.ctl("set-weight 5%").run().await.expect(0);
    shop.ctl("roll-back").run().await.expect(0);
    shop.ctl("halt").run().await.expect(0);
    assert_eq!(shop.phase(), Phase::Halted);
}

#[tokio::test]
async fn a_conflict_shows_what_the_other_person_did() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let seen = shop.rollout.status().rollout.latest().unwrap();
    shop.rollout.pause(ada(), "wait for me").await.unwrap();
    let line = format!("promote-fully --yes --if-latest {seen}");
    let ended = shop.ctl(&line).run().await.expect(5);
    for text in ["has changed since", "ada paused", "wait for me"] {
        assert!(ended.stderr.contains(text), "{text}: {ended:?}");
    }
    assert!(!ended.stderr.contains("if-match"), "{ended:?}");
    assert_eq!(shop.phase(), Phase::Paused);
    let ended = shop.ctl("resume --yes --if-latest last").run().await.expect(1);
    assert!(ended.stderr.contains("if-match"), "{ended:?}");
    // Taking calls away is never refused for it.
    shop.ctl(&format!("roll-back --if-latest {seen}")).run().await.expect(0);
}

#[tokio::test]
async fn a_refusal_names_the_commands_that_are_allowed() {
    let shop = Shop::new().await;
    let ended = shop.ctl("promote --yes").run().await.expect(5);
    assert!(ended.stderr.contains("allowed commands: start"), "{ended:?}");
    let ended = shop.ctl("set-weight 200%").run().await.expect(1);
    assert!(ended.stderr.contains("200%") && ended.stderr.contains("expected"), "{ended:?}");
    let ended = shop.ctl("set-weight -5").run().await.expect(1);
    let text = "error: weight \"-5%\" is below 0%: expected 0% to 100%, such as \"0.1%\"\n";
    assert_eq!(ended.stderr, text);
}

#[tokio::test]
async fn a_gate_is_approved_by_name() {
    let shop = Shop::with_plan(PLAN_WITH_GATE).await;
    shop.begin(Phase::Starting).await;
    shop.until_gate_waits().await;
    let show = shop.ctl("show").run().await.expect(0);
    let how = "gate owner waits for the owner of the shop: canaryctl approve shop owner";
    assert!(show.stdout.contains(how), "{show:?}");
    shop.ctl("approve lawyer --yes").run().await.expect(5);
    shop.ctl("approve owner -m 'the totals are right' --yes").run().await.expect(0);
    shop.until(Phase::Running).await;
}

#[tokio::test]
async fn variables_are_shown_changed_and_removed() {
    let shop = Shop::new().await;
    shop.ctl("vars shop backend=b1 limit=10 --stage -m init").run().await.expect(0);
    shop.ctl("vars backend=b2 -y").run().await.expect(0);
    let vars = shop.ctl("vars").run().await.expect(0).stdout;
    let rows: Vec<Vec<_>> = vars.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["backend", "\"b1\"", "\"b2\""]);
    assert_eq!(rows[2], ["limit", "10", "(the", "same)"]);
    shop.ctl("vars backend-").run().await.expect(0);
    let view: VariablesView = shop.ctl("vars shop -o json").run().await.expect(0).json();
    assert!(view.overrides.is_empty() && view.stage["limit"] == 10, "{view:?}");
    // The history has no values.
    let history = shop.ctl("events").run().await.expect(0).stdout;
    assert!(history.contains("backend") && !history.contains("b2"), "{history}");
}
