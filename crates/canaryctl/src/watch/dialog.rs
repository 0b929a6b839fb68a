use canary_api::{Command, CommandRequest, EventId, PreviewView};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::Wish;

/// The dialog before a command: the weight if it needs one, then its effect, and the reason.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) command: Command,
    /// The weight that the person types, until the server is asked for the effect.
    pub(super) weight: Option<String>,
    /// The effect in sentences, once the server has told it.
    pub(super) effect: Option<String>,
    pub(super) reason: String,
    pub(super) is_sent: bool,
    /// The latest event when the person decided.
    seen: Option<EventId>,
    needs_latest: bool,
}

impl Dialog {
    pub(super) const fn new(command: Command, seen: Option<EventId>) -> Self {
        let needs_weight = matches!(command, Command::SetWeight { .. });
        Self {
            command,
            weight: if needs_weight { Some(String::new()) } else { None },
            effect: None,
            reason: String::new(),
            is_sent: false,
            seen,
            needs_latest: false,
        }
    }

    pub(super) fn show(&mut self, preview: &PreviewView) {
        self.needs_latest = preview.needs_latest;
        self.effect = Some(preview.effect.clone());
    }

    /// Returns the wish to know the effect of the command.
    pub(super) fn preview(&self) -> Option<Wish> {
        self.weight.is_none().then(|| Wish::Preview(self.command.clone()))
    }

    /// Handles a key. Returns the command once it is confirmed; the effect must have been shown before.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Wish> {
        if let Some(weight) = &mut self.weight {
            match key.code {
                KeyCode::Enter if !weight.is_empty() => {
                    let weight = format!("{}%", weight.trim_end_matches('%'));
                    self.command = Command::SetWeight { weight };
                    self.weight = None;
                    return self.preview();
                }
                KeyCode::Backspace => drop(weight.pop()),
                KeyCode::Char(char @ ('0'..='9' | '.' | '%')) if weight.len() < MAX_WEIGHT => {
                    weight.push(char);
                }
                _ => {}
            }
            return None;
        }
        match key.code {
            KeyCode::Enter if self.effect.is_some() && !self.is_sent => {
                self.is_sent = true;
                let request = CommandRequest::new(self.command.clone(), self.reason.trim());
                let seen = self.seen.clone().filter(|_| self.needs_latest);
                return Some(Wish::Give { request, seen });
            }
            KeyCode::Backspace => {
                self.reason.pop();
            }
            KeyCode::Char('u') if key.modifiers == KeyModifiers::CONTROL => self.reason.clear(),
            KeyCode::Char(char)
                if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
                    && self.reason.len() + char.len_utf8() <= MAX_REASON =>
            {
                self.reason.push(char);
            }
            _ => {}
        }
        None
    }
}

/// The length of the longest weight, such as `12.3456%`, and some more.
const MAX_WEIGHT: usize = 12;

/// The server cuts a reason to this number of bytes.
const MAX_REASON: usize = 256;
