//! The effect of a command, before it is given.

use std::fmt;

use canary_core::{Channel, PerChannel, Weight};
use serde::Serialize;

use crate::{
    command::CommandName, event::EventKind, rollout::Releases, serialize, state::phase::Phase,
    text::grouped,
};

/// The exact effect that a command would have now, from
/// [`Rollout::preview`](crate::Rollout::preview).
///
/// It prints as sentences that can stand beside a button.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Preview {
    /// The command.
    pub command: CommandName,
    /// The reason why the command changes nothing; `None` if it has an effect.
    pub note: Option<String>,
    /// The phase afterwards.
    pub phase: Phase,
    /// The weight before.
    #[serde(with = "serialize::weight")]
    pub from: Weight,
    /// The weight afterwards.
    #[serde(with = "serialize::weight")]
    pub to: Weight,
    /// The events that it records.
    pub events: Vec<EventKind>,
    /// Whether the evidence so far is discarded.
    pub discards_evidence: bool,
    /// The channel whose open calls are asked to end.
    #[serde(serialize_with = "channel_name")]
    pub drains: Option<Channel>,
    /// The number of open calls of that channel, if it is known.
    pub open_calls: Option<u64>,
    /// The consequences for the plan and the variables, in sentences.
    pub consequences: Vec<String>,
    #[serde(skip)]
    pub(crate) releases: Releases,
}

impl Preview {
    /// Adds the number of open calls of each channel.
    #[must_use]
    pub fn with_open_calls(mut self, open: PerChannel<u64>) -> Self {
        self.open_calls = self.drains.map(|channel| open[channel]);
        self
    }

    fn about_the_next_calls(&self) -> String {
        let Self { from, to, releases: Releases { stable, canary }, .. } = self;
        if from == to {
            match *to {
                Weight::ZERO => format!("{stable} still serves every call."),
                Weight::FULL => format!("{canary} still serves every call."),
                _ => format!("{canary} still gets {to} of the calls."),
            }
        } else {
            match *to {
                Weight::ZERO => format!("The next call is served by {stable}."),
                Weight::FULL => format!("The next call is served by {canary}, and all later ones."),
                _ => format!("From the next call on, {canary} gets {to} of the calls, not {from}."),
            }
        }
    }

    fn about_open_calls(&self) -> Option<String> {
        let release = match self.drains? {
            Channel::Stable => &self.releases.stable,
            Channel::Canary => &self.releases.canary,
        };
        match self.open_calls {
            None => Some(format!("Open calls of {release} are asked to end.")),
            Some(0) => None,
            Some(1) => Some(format!("1 open call of {release} is asked to end.")),
            Some(open) => {
                Some(format!("{} open calls of {release} are asked to end.", grouped(open)))
            }
        }
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(note) = &self.note {
            return write!(f, "Nothing changes: {note}.");
        }
        f.write_str(&self.about_the_next_calls())?;
        for sentence in self.about_open_calls().iter().chain(&self.consequences) {
            write!(f, " {sentence}")?;
        }
        Ok(())
    }
}

#[expect(clippy::ref_option, reason = "serde requires this signature")]
fn channel_name<S: serde::Serializer>(it: &Option<Channel>, to: S) -> Result<S::Ok, S::Error> {
    it.map(Channel::as_str).serialize(to)
}
