use rand_distr::Zipf;

use crate::draws::Draws;

/// Sticky users. A few of them have all the failures.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an option with all its parts")]
pub struct Users {
    /// The number of users.
    pub count: u64,
    /// The number of users whose calls can fail.
    pub prone: u64,
    /// The number of times that a failed call is retried at once, without success.
    pub retries: u64,
    /// The share of each user in the calls.
    pub activity: Activity,
}

/// The share of each user in the calls.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Activity {
    /// All users are equally active.
    Even,
    /// The user of rank `k` has a share in proportion to `k` to the power of minus this exponent.
    Zipf(f64),
    /// One user has this fraction of all calls, the others are equally active.
    OneHas(f64),
}

impl Users {
    /// Returns the user of a call, from 0.
    pub(super) fn draw(self, draws: &mut Draws) -> u64 {
        match self.activity {
            Activity::Even => draws.below(self.count),
            Activity::Zipf(exponent) => {
                #[expect(clippy::cast_precision_loss, reason = "a few million users at most")]
                let zipf = Zipf::new(self.count as f64, exponent);
                zipf.map_or(0, |zipf| draws.rank(&zipf).clamp(1, self.count) - 1)
            }
            // The active user is the last one, so that it is not one of those whose calls fail.
            Activity::OneHas(part) if draws.is(part) => self.count - 1,
            Activity::OneHas(_) => draws.below(self.count),
        }
    }
}
