//! Pictures of the app, and its keys.

use std::{env, fs, path::PathBuf, time::Duration};

use canary_api::{
    CanaryView, Command, CommandRequest, CommandResponse, Environment, EventId, EventView,
    GateState, Operator, Phase, Points, PreviewView, Role, Session, StageState,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde::de::DeserializeOwned;

use super::{
    app::{App, Wish},
    once,
    theme::Theme,
};
use crate::{cli::ScreenSize, follower::Update, times::Times};

fn testdata(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file)
}

fn read<T: DeserializeOwned>(file: &str) -> T {
    serde_json::from_str(&fs::read_to_string(testdata(file)).unwrap()).unwrap()
}

fn view() -> Box<CanaryView> {
    read("view.json")
}

fn app() -> App {
    let mut app = App::new(view(), Theme::new(true), Times::utc());
    let events: Vec<EventView> = read("events.json");
    events.into_iter().for_each(|event| app.add_event(event));
    app.points = points();
    app.session = Some(session(Role::Operate));
    app
}

fn session(role: Role) -> Session {
    serde_json::from_value(serde_json::json!({
        "operator": Operator::new("ada", role),
        "environment": Environment::new("prod", "#b00020"),
        "version": "0.1.0",
    }))
    .unwrap()
}

/// A minute in which stable is steady, and the canary gets more and more calls.
fn points() -> Points {
    let column = |value: fn(f32) -> f32| {
        (0_u8..60).map(|second| value(f32::from(second))).collect::<Vec<_>>()
    };
    let optional = |value: fn(f32) -> f32| column(value).into_iter().map(Some).collect::<Vec<_>>();
    let mut points = Points::default();
    points.calls_per_second.stable = column(|second| 180.0 - second / 2.0);
    points.calls_per_second.canary = column(|second| second / 3.0);
    points.failure_rate.stable = optional(|_| 0.009);
    points.failure_rate.canary = optional(|second| 0.002 * (second % 10.0));
    points.p99_ms.stable = optional(|second| 12.0 + second % 3.0);
    points.p99_ms.canary = optional(|second| 14.0 - second % 4.0);
    points.failure_rate.canary[58] = None;
    points
}

fn picture(app: &App, columns: u16, rows: u16) -> String {
    once::lines(app, ScreenSize { columns, rows }).map(|line| line + "\n").collect()
}

/// Compares a picture with the committed one. `UPDATE_DOCS=1` updates it.
#[track_caller]
fn assert_picture(app: &App, width: u16, height: u16, name: &str) {
    let file = testdata(&format!("watch-{name}-{width}x{height}.txt"));
    let picture = picture(app, width, height);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, picture).unwrap();
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == picture,
        "{} differs: look at it, and update it with UPDATE_DOCS=1\n{picture}",
        file.display()
    );
}

fn press(app: &mut App, keys: &str) -> Option<Wish> {
    keys.chars().filter_map(|char| app.press(KeyEvent::from(KeyCode::Char(char)))).last()
}

fn preview() -> PreviewView {
    serde_json::from_value(serde_json::json!({
        "effect": "The next call is served by v1.9.2. 12 open calls of v2.0.0 are asked to end. \
                   Only a new start raises the weight again.",
        "consequences": [], "note": null, "phase": "rolled_back", "from": "10%", "to": "0%",
        "discards_evidence": false, "drained_calls": 12, "needs_latest": false,
    }))
    .unwrap()
}

#[test]
fn a_running_canary_fits_80_columns() {
    assert_picture(&app(), 80, 24, "running");
}

#[test]
fn a_larger_terminal_shows_more() {
    assert_picture(&app(), 120, 40, "running");
}

#[test]
fn a_tiny_terminal_shows_the_sentence_and_the_keys() {
    assert_picture(&app(), 60, 8, "running");
    // The operator makes room for the releases.
    let narrow = picture(&app(), 40, 8);
    assert!(narrow.starts_with(" prod  shop  v1.9.2 → v2.0.0      ● live\n"), "{narrow}");
    // No size makes it panic.
    for (width, height) in [(1, 1), (10, 3), (30, 16), (300, 100)] {
        let mut app = app();
        picture(&app, width, height);
        app.ask(Command::RollBack);
        picture(&app, width, height);
    }
}

#[test]
fn a_lost_connection_is_told_with_its_time() {
    let mut app = app();
    app.update(Update::NotLive(
        "cannot connect to http://127.0.0.1:3000/: connection refused".to_owned(),
    ));
    app.pass(Duration::from_secs(75));
    app.update(Update::NotLive("still refused".to_owned()));
    assert_picture(&app, 80, 24, "lost");
    app.update(Update::View(view()));
    assert!(picture(&app, 80, 24).contains("● live"));
}

#[test]
fn a_rolled_back_canary_shows_why() {
    let mut app = app();
    app.view.phase = Phase::RolledBack;
    app.view.summary =
        "Rolled back by the judge: failures on the canary are 4.1 times stable's".to_owned();
    (app.view.weight, app.view.weight_ppm, app.view.outlook) = ("0%".to_owned(), 0, None);
    app.view.stages.iter_mut().for_each(|stage| stage.state = StageState::Ahead);
    assert_picture(&app, 80, 24, "rolled-back");
}

#[test]
fn a_command_shows_its_effect_before_it_is_given() {
    let mut app = app();
    assert_eq!(press(&mut app, "R"), Some(Wish::Preview(Command::RollBack)));
    // Before the effect is known, Enter does nothing.
    assert_eq!(app.press(KeyEvent::from(KeyCode::Enter)), None);
    app.show_preview(Ok(preview()));
    assert_eq!(press(&mut app, "wrong totalsq"), None);
    app.press(KeyEvent::from(KeyCode::Backspace));
    assert_picture(&app, 80, 24, "roll-back");
    let request = CommandRequest::new(Command::RollBack, "wrong totals");
    let given = app.press(KeyEvent::from(KeyCode::Enter));
    assert_eq!(given, Some(Wish::Give { request, seen: None }));
    // A second Enter does not give it twice.
    assert_eq!(app.press(KeyEvent::from(KeyCode::Enter)), None);
    let response = CommandResponse { note: None, events: read("events.json"), canary: *view() };
    app.show_result(Ok(response));
    assert!(app.dialog.is_none());
    assert!(picture(&app, 80, 24).contains("▸ ada started the plan"));
}

#[test]
fn a_command_that_needs_it_names_the_event_that_the_person_saw() {
    let mut app = app();
    press(&mut app, "P");
    // A newer event arrives while the person reads.
    app.view.latest = Some(EventId::new("6-1"));
    app.show_preview(Ok(PreviewView { needs_latest: true, ..preview() }));
    let Some(Wish::Give { seen, .. }) = app.press(KeyEvent::from(KeyCode::Enter)) else {
        panic!("the command was not given");
    };
    assert_eq!(seen, Some(EventId::new("5-1795511050000")));
    app.show_result(Err("the rollout has changed".to_owned()));
    assert!(picture(&app, 80, 24).contains("▸ the rollout has changed"));
}

#[test]
fn a_new_weight_is_typed_before_its_effect_is_shown() {
    let mut app = app();
    assert_eq!(press(&mut app, "w"), None);
    assert_eq!(app.press(KeyEvent::from(KeyCode::Enter)), None, "no weight was typed");
    assert_eq!(press(&mut app, "q2x.55"), None);
    app.press(KeyEvent::from(KeyCode::Backspace));
    assert!(picture(&app, 80, 24).contains("Weight in percent: 2.5▏"));
    let command = Command::SetWeight { weight: "2.5%".to_owned() };
    let asked = app.press(KeyEvent::from(KeyCode::Enter));
    assert_eq!(asked, Some(Wish::Preview(command.clone())));
    app.show_preview(Ok(preview()));
    assert_eq!(press(&mut app, "try 3"), None);
    let given = app.press(KeyEvent::from(KeyCode::Enter));
    let request = CommandRequest::new(command, "try 3");
    assert_eq!(given, Some(Wish::Give { request, seen: None }));
}

#[test]
fn escape_closes_a_dialog_and_nothing_happens() {
    let mut app = app();
    press(&mut app, "s");
    app.show_preview(Ok(preview()));
    assert_eq!(app.press(KeyEvent::from(KeyCode::Esc)), None);
    assert!(app.dialog.is_none());
    // A preview that arrives late does not open it again.
    app.show_preview(Ok(preview()));
    assert!(app.dialog.is_none());
    assert_eq!(press(&mut app, "q"), Some(Wish::Quit));
}

#[test]
fn a_role_or_a_state_without_a_command_hides_its_key() {
    let mut app = app();
    let footer = |app: &App| picture(app, 80, 24).lines().last().unwrap().to_owned();
    assert!(footer(&app).contains("R roll back"), "{}", footer(&app));
    assert!(!footer(&app).contains("r resume"), "{}", footer(&app));
    app.session = Some(session(Role::View));
    assert_eq!(footer(&app), "? help  q quit");
    assert_eq!(press(&mut app, "R"), None);
    assert!(app.dialog.is_none());
    app.session = None;
    assert_eq!(press(&mut app, "R"), None);
}

#[test]
fn an_approver_answers_the_gate_that_waits() {
    let mut app = app();
    app.session = Some(session(Role::Approve));
    app.view.gates[0].state = GateState::Waiting;
    app.view.offers.push(
        serde_json::from_value(serde_json::json!({
            "command": "approve", "effect": "", "refused": null, "gate": "owner",
            "needs_latest": true,
        }))
        .unwrap(),
    );
    assert_picture(&app, 80, 24, "gate");
    let wish = press(&mut app, "a");
    assert_eq!(wish, Some(Wish::Preview(Command::Approve { gate: "owner".to_owned() })));
}

#[test]
fn the_help_explains_keys_that_are_not_there() {
    let mut app = app();
    press(&mut app, "?");
    assert_picture(&app, 80, 24, "help");
    press(&mut app, "?");
    assert!(!app.is_help_open);
}

#[test]
fn control_c_quits_in_every_state() {
    let mut app = app();
    press(&mut app, "p");
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(app.press(key), Some(Wish::Quit));
}

#[test]
fn without_colors_only_weights_are_styled() {
    let size = ScreenSize { columns: 80, rows: 24 };
    let mut app = app();
    app.theme = Theme::new(false);
    let has_codes = |app: &App, code| once::painted(app, size).any(|line| line.contains(code));
    assert!(has_codes(&app, "\x1b[1m") && !has_codes(&app, "\x1b[33m"));
    app.theme = Theme::new(true);
    assert!(has_codes(&app, "\x1b[33m") && has_codes(&app, "\x1b[1;7;38;2;176;0;32m prod"));
}
