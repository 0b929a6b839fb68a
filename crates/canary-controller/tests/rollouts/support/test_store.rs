//! A store that fails, hangs, and remembers.

use std::{
    future::pending,
    sync::{Arc, Mutex},
};

use canary_controller::store::{
    Document, DocumentWatch, EventRecord, MemoryStore, Revision, StateStore, StoreError,
    StoreFuture, StoreKey, Swap, Versioned,
};
use canary_core::Weight;
use canary_rollout::Rollout;

/// How a store, or one of its calls, is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Out of reach.
    Away,
    /// It never answers, and does nothing.
    Hangs,
    /// It does what it is asked, and never answers.
    AnswersNever,
    /// It says that it does not know whether it did it, and has not.
    QuestionLost,
    /// It says that it does not know whether it did it, and has.
    AnswerLost,
    /// It will not.
    Refuses,
    /// It says that what is there is no document.
    Corrupt,
}

/// Clones are one store.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestStore {
    inner: MemoryStore,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    /// For swaps and appends from this number on, for so many of them.
    fault: Option<(usize, usize, Mood)>,
    changes: usize,
    /// Fails only for documents under such a key.
    only: Option<&'static str>,
    is_slow: bool,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// Lets the change of this number fail, counted from 0, and `more` after it.
    pub(crate) fn fail_at(&self, number: usize, more: usize, mood: Mood) {
        self.state.lock().unwrap().fault = Some((number, more, mood));
    }

    /// Only keys with this in them fail.
    pub(crate) fn only(&self, part: &'static str) {
        self.state.lock().unwrap().only = Some(part);
    }

    /// Takes half a second for each change from now on.
    pub(crate) fn slow_down(&self) {
        self.state.lock().unwrap().is_slow = true;
    }

    /// How many changes were asked for.
    pub(crate) fn changes(&self) -> usize {
        self.state.lock().unwrap().changes
    }

    /// The store without its moods.
    pub(crate) const fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    pub(crate) fn key() -> StoreKey {
        StoreKey::try_new("default", &"shop".parse().unwrap()).unwrap()
    }

    pub(crate) async fn stored(&self) -> Option<(Rollout, Revision)> {
        let found = self.inner.load(&Self::key()).await.unwrap()?;
        Some((serde_json::from_str(found.document.as_str()).unwrap(), found.revision))
    }

    pub(crate) async fn weight(&self) -> Weight {
        self.stored().await.map_or(Weight::ZERO, |(rollout, _)| rollout.weight())
    }

    /// Stores it as another replica would.
    pub(crate) async fn put(&self, rollout: &Rollout) {
        let expected = self.stored().await.map(|(_, revision)| revision);
        let document = Document::try_new(serde_json::to_vec(rollout).unwrap()).unwrap();
        let swap = self.inner.compare_and_swap(&Self::key(), expected.as_ref(), &document).await;
        assert!(matches!(swap.unwrap(), Swap::Done(_)));
    }

    /// The kept events, by their numbers and names.
    pub(crate) async fn events(&self) -> Vec<canary_rollout::event::Event> {
        let events = self.inner.events(&Self::key(), usize::MAX).await.unwrap();
        events.iter().map(|event| serde_json::from_str(event.as_str()).unwrap()).collect()
    }

    fn change(&self, key: &StoreKey) -> Mood {
        let mut state = self.state.lock().unwrap();
        if state.only.is_some_and(|part| !key.as_str().contains(part)) {
            return Mood::Well;
        }
        let number = state.changes;
        state.changes += 1;
        match state.fault {
            Some((from, more, mood)) if (from..=from + more).contains(&number) => mood,
            _ => state.mood,
        }
    }

    async fn call<T>(&self, mood: Mood, work: StoreFuture<'_, T>) -> Result<T, StoreError> {
        let asked = "asked of a test";
        if self.state.lock().unwrap().is_slow {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        match mood {
            Mood::Well => work.await,
            Mood::Away => Err(StoreError::unavailable(asked, "on demand")),
            Mood::Hangs => pending().await,
            Mood::AnswersNever => {
                work.await?;
                pending().await
            }
            Mood::QuestionLost => Err(StoreError::unknown(asked, "on demand")),
            Mood::AnswerLost => {
                work.await?;
                Err(StoreError::unknown(asked, "on demand"))
            }
            Mood::Refuses => Err(StoreError::refused(asked, "on demand")),
            Mood::Corrupt => Err(StoreError::corrupt(asked, "on demand")),
        }
    }
}

impl StateStore for TestStore {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        let mood = match self.state.lock().unwrap().mood {
            Mood::QuestionLost | Mood::AnswerLost => Mood::Away,
            mood => mood,
        };
        Box::pin(self.call(mood, self.inner.load(key)))
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        let swap = self.inner.compare_and_swap(key, expected, document);
        Box::pin(self.call(self.change(key), swap))
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        self.inner.watch(key)
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        Box::pin(self.call(self.change(key), self.inner.append_event(key, event)))
    }

    fn events<'a>(&'a self, key: &'a StoreKey, most: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        self.inner.events(key, most)
    }
}
