use canary_api::{Command, CommandName, GateState};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::app::{App, Wish};

/// A key that gives a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandKey {
    pub(super) key: char,
    pub(super) name: CommandName,
}

/// The keys in the order of the footer. Capital letters are for commands that a slip must not give.
pub(super) const COMMAND_KEYS: [CommandKey; 11] = [
    CommandKey { key: 'S', name: CommandName::Start },
    CommandKey { key: 'p', name: CommandName::Pause },
    CommandKey { key: 'r', name: CommandName::Resume },
    CommandKey { key: 's', name: CommandName::SkipStep },
    CommandKey { key: 'a', name: CommandName::Approve },
    CommandKey { key: 'x', name: CommandName::Reject },
    CommandKey { key: 'w', name: CommandName::SetWeight },
    CommandKey { key: 'P', name: CommandName::Promote },
    CommandKey { key: 'R', name: CommandName::RollBack },
    CommandKey { key: 'H', name: CommandName::Halt },
    CommandKey { key: 'L', name: CommandName::LiftHalt },
];

impl CommandKey {
    /// Returns the command in words. `weight` instead of `set weight` keeps all keys in 80 columns.
    pub(super) fn label(self) -> String {
        self.name.as_str().trim_start_matches("set-").replace('-', " ")
    }
}

impl App {
    /// Returns the keys of the commands that the operator can give now.
    pub(super) fn command_keys(&self) -> impl Iterator<Item = CommandKey> {
        COMMAND_KEYS.into_iter().filter(|key| self.is_offered(key.name))
    }

    /// Handles a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Wish> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL {
            return Some(Wish::Quit);
        }
        if key.code == KeyCode::Esc {
            (self.dialog, self.is_help_open, self.notice) = (None, false, None);
            return None;
        }
        if let Some(dialog) = &mut self.dialog {
            return dialog.press(key);
        }
        match key.code {
            KeyCode::Char('q') => Some(Wish::Quit),
            KeyCode::Char('?') => {
                self.is_help_open = !self.is_help_open;
                None
            }
            KeyCode::Char(char) => {
                let name = self.command_keys().find(|key| key.key == char)?.name;
                let command = self.command(name)?;
                self.is_help_open = false;
                self.ask(command)
            }
            _ => None,
        }
    }

    fn command(&self, name: CommandName) -> Option<Command> {
        Some(match name {
            CommandName::Start => Command::Start,
            CommandName::Pause => Command::Pause,
            CommandName::Resume => Command::Resume,
            CommandName::SkipStep => Command::SkipStep,
            // The dialog asks for the weight.
            CommandName::SetWeight => Command::SetWeight { weight: String::new() },
            CommandName::Promote => Command::Promote,
            CommandName::RollBack => Command::RollBack,
            CommandName::Halt => Command::Halt,
            CommandName::LiftHalt => Command::LiftHalt,
            CommandName::Approve => Command::Approve { gate: self.waiting_gate()? },
            CommandName::Reject => Command::Reject { gate: self.waiting_gate()? },
            _ => return None,
        })
    }

    /// Returns the first gate that waits for a person.
    fn waiting_gate(&self) -> Option<String> {
        let waits = |gate: &&canary_api::GateView| {
            gate.state == GateState::Waiting && gate.approvers.is_some()
        };
        self.view.gates.iter().find(waits).map(|gate| gate.name.clone())
    }
}
