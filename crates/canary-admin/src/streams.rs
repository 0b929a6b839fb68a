use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The open streams of all clients. Their number is limited.
#[derive(Default)]
pub(crate) struct Streams(Arc<Mutex<Places>>);

#[derive(Default)]
struct Places {
    next: u64,
    taken: Vec<(u64, Instant)>,
}

/// The place of an open stream. Dropping it frees the place.
pub(crate) struct Place {
    places: Arc<Mutex<Places>>,
    id: u64,
}

impl Streams {
    /// Takes a place, if necessary that of a client that does not read; `None` if all places are taken.
    pub(crate) fn take(&self) -> Option<Place> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if places.taken.len() >= MAX_STREAMS {
            places.taken.retain(|(_, used)| now.duration_since(*used) < STALLED);
        }
        if places.taken.len() >= MAX_STREAMS {
            return None;
        }
        let id = places.next;
        places.next += 1;
        places.taken.push((id, now));
        Some(Place { places: Arc::clone(&self.0), id })
    }
}

impl Place {
    /// Notes that the client has read. Returns `false` if the place was lost.
    pub(crate) fn used(&self) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = places.taken.iter_mut().find(|(id, _)| *id == self.id);
        mine.map(|(_, used)| *used = Instant::now()).is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.taken.retain(|(id, _)| *id != self.id);
    }
}

/// Enough for a team with several pages each, and too few to burden a service.
const MAX_STREAMS: usize = 32;

/// A client that reads nothing for this long loses its place to the next one. A canary has something to
/// send every second.
const STALLED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_loses_its_place_to_the_next_one() {
        let streams = Streams::default();
        let places: Vec<_> = (0..MAX_STREAMS).map(|_| streams.take().unwrap()).collect();
        assert!(streams.take().is_none());
        tokio::time::advance(STALLED / 2).await;
        places[1..].iter().for_each(|place| assert!(place.used()));
        tokio::time::advance(STALLED / 2).await;
        let next = streams.take().unwrap();
        assert!(!places[0].used() && places[1].used() && next.used());
        assert!(streams.take().is_none());
        drop(places);
        assert!(streams.take().is_some());
    }
}
