use std::time::Duration;

use canary_core::{Channel, PerChannel};

use super::law::Law;
use crate::draws::Draws;

/// Outages, incidents and pauses: what happens, to which channels, when and for how long.
///
/// A traffic has any number of them. Their effects add up.
///
/// ```
/// use canary_analysis_sim::{Law, Shape, Starts, Trouble};
/// use canary_core::PerChannel;
///
/// // A dependency of both channels fails 10 % of calls for 5 minutes.
/// let incident = Trouble::once(60.0, 300.0).fails(0.1);
/// // Each channel has an outage of its own every 10 minutes on average.
/// let pods = PerChannel { stable: 1, canary: 1 };
/// let own = Trouble::recurring(Law::Exponential(600.0), Law::Fixed(5.0)).of_each_alone(pods);
/// // Every 20 minutes, failures rise to 30 % within 10 minutes and end at once.
/// let ramp = Trouble::new(Starts::Every(1200.0), Law::Fixed(600.0)).fails(0.3).shaped(Shape::Ramp);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    starts: Starts,
    lasts: Law,
    shape: Shape,
    effect: Effect,
    hits: Hits,
}

/// The times at which a [`Trouble`] starts. A rollout starts at 0, the time before it is negative.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Starts {
    /// Once, at this second.
    At(f64),
    /// At second 0 of the traffic, and regularly with this period.
    Every(f64),
    /// This long after the end of the one before.
    After(Law),
}

/// The course of a [`Trouble`], as a fraction of its full effect.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Shape {
    /// Full from the beginning to the end.
    Flat,
    /// From nothing to full, and then it ends at once.
    Ramp,
    /// From full to nothing.
    Fall,
    /// From nothing to full and back.
    Triangle,
    /// From nothing to full and back, as a sine.
    Sine,
    /// A random walk between nothing and full, which moves by this much in a minute.
    Walk(f64),
    /// Full for the first number of seconds, nothing for the second, and so on.
    Flapping(f64, f64),
}

/// The effect of a [`Trouble`] on calls.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// This fraction of the calls fails.
    Fails(f64),
    /// This fraction of the calls takes longer.
    Slows(f64, Duration),
    /// This fraction of the calls has no answer.
    Hangs(f64),
}

#[derive(Clone, Copy, Debug)]
enum Hits {
    /// Both channels, at the same times.
    Both,
    /// Each pod of each channel at its own times.
    EachAlone(PerChannel<u32>),
}

impl Trouble {
    /// Creates an outage of every call of both channels.
    #[must_use]
    pub const fn new(starts: Starts, lasts: Law) -> Self {
        let (shape, effect, hits) = (Shape::Flat, Effect::Fails(1.0), Hits::Both);
        Self { starts, lasts, shape, effect, hits }
    }

    /// Creates an outage that happens once, at this second and for this many.
    #[must_use]
    pub const fn once(at: f64, lasts: f64) -> Self {
        Self::new(Starts::At(at), Law::Fixed(lasts))
    }

    /// Creates outages with these times between them, and these lengths.
    #[must_use]
    pub const fn recurring(between: Law, lasts: Law) -> Self {
        Self::new(Starts::After(between), lasts)
    }

    /// Sets the fraction of calls that fail, in addition to those that fail anyway.
    #[must_use]
    pub const fn fails(mut self, part: f64) -> Self {
        self.effect = Effect::Fails(part);
        self
    }

    /// Makes this fraction of calls slower by this time, and none fail.
    #[must_use]
    pub const fn slows(mut self, part: f64, by: Duration) -> Self {
        self.effect = Effect::Slows(part, by);
        self
    }

    /// Leaves this fraction of calls without an answer until their callers cancel them, after a
    /// minute. None fail.
    #[must_use]
    pub const fn hangs(mut self, part: f64) -> Self {
        self.effect = Effect::Hangs(part);
        self
    }

    /// Sets the course, [`Shape::Flat`] by default.
    #[must_use]
    pub const fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// Gives each pod of each channel its own times. A pod has an equal part of the calls of its
    /// channel. A channel without pods has no trouble.
    #[must_use]
    pub const fn of_each_alone(mut self, pods: PerChannel<u32>) -> Self {
        self.hits = Hits::EachAlone(pods);
        self
    }
}

/// A [`Trouble`] in one rollout.
pub(super) struct TroubleState {
    trouble: Trouble,
    /// The times of both channels, or of each pod of stable and then of the canary.
    timelines: PerChannel<Vec<Timeline>>,
}

/// The parts of a channel's calls that a trouble affects in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Affected {
    pub(super) fails: f64,
    pub(super) slow: f64,
    pub(super) slow_by: Duration,
    pub(super) hang: f64,
}

impl TroubleState {
    /// Creates the state for a traffic that begins at this second.
    pub(super) fn new(trouble: Trouble, begin: f64, draws: &mut Draws) -> Self {
        let pods = match trouble.hits {
            Hits::Both => PerChannel { stable: 1, canary: 0 },
            Hits::EachAlone(pods) => pods,
        };
        let mut timelines = PerChannel::from_fn(|_| Vec::new());
        for channel in Channel::ALL {
            for _ in 0..pods[channel] {
                timelines[channel].push(Timeline::new(&trouble, begin, draws));
            }
        }
        Self { trouble, timelines }
    }

    /// Returns the effect in the second that starts at `at`.
    pub(super) fn affected(&mut self, at: f64, draws: &mut Draws) -> PerChannel<Affected> {
        let Trouble { shape, effect, hits, .. } = self.trouble;
        let mut level = PerChannel { stable: 0.0, canary: 0.0 };
        for channel in Channel::ALL {
            let timelines = &mut self.timelines[channel];
            let pods = f64::from(u32::try_from(timelines.len()).unwrap_or(u32::MAX));
            for timeline in timelines {
                level[channel] += timeline.level(&self.trouble, shape, at, draws) / pods;
            }
        }
        if let Hits::Both = hits {
            level.canary = level.stable;
        }
        PerChannel::from_fn(|channel| match effect {
            Effect::Fails(part) => Affected { fails: part * level[channel], ..Affected::default() },
            Effect::Slows(part, slow_by) => {
                Affected { slow: part * level[channel], slow_by, ..Affected::default() }
            }
            Effect::Hangs(part) => Affected { hang: part * level[channel], ..Affected::default() },
        })
    }
}

/// The current or next occurrence.
struct Timeline {
    from: f64,
    until: f64,
    /// Where a random walk is, if it has begun.
    walk: Option<f64>,
}

impl Timeline {
    fn new(trouble: &Trouble, begin: f64, draws: &mut Draws) -> Self {
        let from = match trouble.starts {
            Starts::At(at) => at,
            Starts::Every(_) => begin,
            Starts::After(between) => begin + between.draw(draws),
        };
        Self { from, until: from + trouble.lasts.draw(draws), walk: None }
    }

    fn level(&mut self, trouble: &Trouble, shape: Shape, at: f64, draws: &mut Draws) -> f64 {
        while at >= self.until {
            let from = match trouble.starts {
                Starts::At(_) => return 0.0,
                Starts::Every(period) => self.from + period,
                Starts::After(between) => self.until + between.draw(draws),
            };
            let until = from.max(self.until) + trouble.lasts.draw(draws);
            *self = Self { from, until, walk: self.walk };
        }
        // An occurrence may cover a part of this second: its end, its start or all of it.
        let covered = (self.until.min(at + 1.0) - self.from.max(at)).max(0.0);
        let (passed, whole) = (at - self.from, self.until - self.from);
        let part = (passed / whole).clamp(0.0, 1.0);
        covered
            * match shape {
                Shape::Flat => 1.0,
                Shape::Ramp => part,
                Shape::Fall => 1.0 - part,
                Shape::Triangle => 1.0 - (2.0 * part - 1.0).abs(),
                Shape::Sine => (1.0 - (part * std::f64::consts::TAU).cos()) / 2.0,
                Shape::Walk(per_minute) => self.walk(per_minute, draws),
                Shape::Flapping(on, off) if passed.max(0.0) % (on + off) < on => 1.0,
                Shape::Flapping(..) => 0.0,
            }
    }

    /// Moves the random walk by a second, and returns where it is. It is reflected at both ends.
    fn walk(&mut self, per_minute: f64, draws: &mut Draws) -> f64 {
        let before = self.walk.unwrap_or_else(|| draws.unit());
        let moved = (before + per_minute / 60.0_f64.sqrt() * draws.normal()).rem_euclid(2.0);
        *self.walk.insert(moved.min(2.0 - moved))
    }
}
