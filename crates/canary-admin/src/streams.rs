use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The open streams of all operators. Their number is limited.
#[derive(Default)]
pub(crate) struct Streams(Arc<Mutex<Places>>);

#[derive(Default)]
struct Places {
    next: u64,
    taken: Vec<Taken>,
}

struct Taken {
    id: u64,
    operator: String,
    /// When the client has read the last time.
    used: Instant,
}

/// The place of an open stream. Dropping it frees the place.
pub(crate) struct Place {
    places: Arc<Mutex<Places>>,
    id: u64,
}

impl Streams {
    /// Takes a place, if necessary that of a client that does not read; `None` if all places are taken,
    /// or all that the operator may have.
    pub(crate) fn take(&self, operator: &str) -> Option<Place> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if places.is_full(operator) {
            places.taken.retain(|it| now.duration_since(it.used) < STALLED);
        }
        if places.is_full(operator) {
            return None;
        }
        let id = places.next;
        places.next += 1;
        places.taken.push(Taken { id, operator: operator.to_owned(), used: now });
        Some(Place { places: Arc::clone(&self.0), id })
    }
}

impl Places {
    fn is_full(&self, operator: &str) -> bool {
        let own = self.taken.iter().filter(|it| it.operator == operator).count();
        own >= MAX_STREAMS_OF_OPERATOR || self.taken.len() >= MAX_STREAMS
    }
}

impl Place {
    /// Notes that the client has read. Returns `false` if the place was lost.
    pub(crate) fn used(&self) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = places.taken.iter_mut().find(|it| it.id == self.id);
        mine.map(|it| it.used = Instant::now()).is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.taken.retain(|it| it.id != self.id);
    }
}

/// Enough for a team with several pages each, and too few to burden a service.
const MAX_STREAMS: usize = 128;

/// Enough for many pages, or for the jobs of a build system with one token, and too few to keep others out.
const MAX_STREAMS_OF_OPERATOR: usize = 32;

/// A client that reads nothing for this long loses its place to the next one. A canary has something to
/// send every second.
const STALLED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_loses_its_place_to_the_next_one() {
        let streams = Streams::default();
        let take = || streams.take("ada");
        let places: Vec<_> = (0..MAX_STREAMS_OF_OPERATOR).map(|_| take().unwrap()).collect();
        assert!(take().is_none());
        tokio::time::advance(STALLED / 2).await;
        places[1..].iter().for_each(|place| assert!(place.used()));
        tokio::time::advance(STALLED / 2).await;
        let next = take().unwrap();
        assert!(!places[0].used() && places[1].used() && next.used());
        assert!(take().is_none());
        drop(places);
        assert!(take().is_some());
    }

    #[test]
    fn all_operators_together_have_a_limit() {
        let streams = Streams::default();
        let names = ["ada", "bob", "eve", "gus"];
        let take = |name: &&str| -> Vec<_> {
            (0..MAX_STREAMS_OF_OPERATOR).filter_map(|_| streams.take(name)).collect()
        };
        let places: Vec<_> = names.iter().flat_map(take).collect();
        assert_eq!(places.len(), MAX_STREAMS);
        assert!(streams.take("vic").is_none());
    }
}
