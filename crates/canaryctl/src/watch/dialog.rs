use canary_api::{Command, CommandRequest, EventId, PreviewView};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::Wish;

/// The dialog before a command: its effect, and the reason.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) command: Command,
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
        Self {
            command,
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

    /// Handles a key. Returns the command once it is confirmed; the effect must have been shown before.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Wish> {
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

/// The server cuts a reason to this number of bytes.
const MAX_REASON: usize = 256;
