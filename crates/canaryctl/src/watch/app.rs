use std::{collections::VecDeque, time::Duration};

use canary_api::{
    CanaryView, Command, CommandName, CommandRequest, CommandResponse, EventId, EventView, Points,
    PreviewView, Role, Session,
};

use super::{dialog::Dialog, theme::Theme};
use crate::{follower::Update, output::capitalized, times::Times};

/// Everything that is shown. Drawing it has no other input than the size of the terminal.
#[derive(Debug)]
pub(super) struct App {
    pub(super) theme: Theme,
    pub(super) times: Times,
    pub(super) view: Box<CanaryView>,
    pub(super) session: Option<Session>,
    pub(super) points: Points,
    /// The latest events, oldest first.
    pub(super) events: VecDeque<EventView>,
    pub(super) connection: Connection,
    pub(super) dialog: Option<Dialog>,
    pub(super) is_help_open: bool,
    /// The result of the latest command.
    pub(super) notice: Option<Notice>,
}

/// Whether the view is that of now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Connection {
    Live,
    Lost { reason: String, since: Duration },
}

/// A sentence about the latest command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) is_error: bool,
}

/// What the app wants to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    Preview(Command),
    Give { request: CommandRequest, seen: Option<EventId> },
    Quit,
}

impl App {
    pub(super) fn new(view: Box<CanaryView>, theme: Theme, times: Times) -> Self {
        Self {
            theme,
            times,
            view,
            session: None,
            points: Points::default(),
            events: VecDeque::new(),
            connection: Connection::Live,
            dialog: None,
            is_help_open: false,
            notice: None,
        }
    }

    pub(super) fn update(&mut self, update: Update) {
        match update {
            Update::View(view) => {
                self.view = view;
                self.connection = Connection::Live;
            }
            Update::Event(event) => self.add_event(*event),
            Update::Reset => self.events.clear(),
            Update::NotLive(reason) => match &mut self.connection {
                Connection::Lost { reason: latest, .. } => *latest = reason,
                Connection::Live => {
                    self.connection = Connection::Lost { reason, since: Duration::ZERO };
                }
            },
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        if let Connection::Lost { since, .. } = &mut self.connection {
            *since += time;
        }
    }

    pub(super) fn add_event(&mut self, event: EventView) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Returns whether the operator may give a command, and the rollout would take it.
    pub(super) fn is_offered(&self, name: CommandName) -> bool {
        let needed = match name {
            CommandName::Approve | CommandName::Reject => Role::Approve,
            _ => Role::Operate,
        };
        self.session.as_ref().is_some_and(|session| session.operator.role >= needed)
            && self.view.offers.iter().any(|offer| offer.command == name && offer.refused.is_none())
    }

    /// Opens the dialog of a command.
    pub(super) fn ask(&mut self, command: Command) -> Option<Wish> {
        self.notice = None;
        let seen = self.view.latest.clone();
        self.dialog.insert(Dialog::new(command, seen)).preview()
    }

    pub(super) fn show_preview(&mut self, preview: Result<PreviewView, String>) {
        match (preview, &mut self.dialog) {
            (Ok(preview), Some(dialog)) => dialog.show(&preview),
            (Err(error), Some(_)) => self.fail(error),
            // The person has closed the dialog.
            (_, None) => {}
        }
    }

    pub(super) fn show_result(&mut self, result: Result<CommandResponse, String>) {
        match result {
            Ok(response) => {
                self.dialog = None;
                let sentences = response.events.iter().map(|event| event.sentence.clone());
                let text =
                    response.note.unwrap_or_else(|| sentences.collect::<Vec<_>>().join("; "));
                self.notice = Some(Notice { text, is_error: false });
                *self.view = response.canary;
            }
            Err(error) => self.fail(error),
        }
    }

    /// Returns a sentence of the server with local times, as a line of its own.
    pub(super) fn sentence(&self, text: &str) -> String {
        capitalized(&self.local_times(text))
    }

    /// Returns a text of the server with local times.
    pub(super) fn local_times(&self, text: &str) -> String {
        let now = self.view.at.parse().unwrap_or_default();
        self.times.sentence_at(text, now)
    }

    fn fail(&mut self, text: String) {
        self.dialog = None;
        self.notice = Some(Notice { text, is_error: true });
    }
}

const MAX_EVENTS: usize = 200;
