use super::{Document, Retry, Revision, StateStore, StoreError, StoreKey, Swap, Versioned};

/// Swaps, and finds out how it ended where the store could not say.
///
/// A swap whose answer is lost may have been made, or may be made yet. Made again blindly it would
/// meet itself, take that for somebody else's write, and decide anew on top of it. So each write
/// leaves an id of its own in the document, which keeps the ids of the last few writes (16 are
/// plenty), and `is_applied` says whether a document has it. If it has not, and the revision is
/// still the expected one, the same swap is asked for again: of the two, one at most can be made.
///
/// # Errors
///
/// Those of [`StateStore::compare_and_swap`]. [`Unknown`](StoreError::Unknown) is returned if also
/// the store could not be loaded, or three swaps in a row had no answer: call `settle` again with
/// the same arguments.
///
/// # Example
///
/// ```
/// use canary_controller::store::{
///     Document, MemoryStore, Settled, StateStore, StoreKey, settle,
///     testing::{StoreFault, FaultyStore},
/// };
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let store = FaultyStore::new(MemoryStore::new());
/// let key = StoreKey::try_new("prod", &"checkout".parse()?)?;
/// let document = Document::try_new(r#"{"generation":1,"op_ids":["7f3a"]}"#)?;
///
/// store.fail_next(StoreFault::ResponseLost);
/// let settled =
///     settle(&store, &key, None, &document, |it| it.as_str().contains("7f3a")).await?;
/// assert!(matches!(settled, Settled::Done(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn settle(
    store: &dyn StateStore,
    key: &StoreKey,
    expected: Option<&Revision>,
    document: &Document,
    is_applied: impl Fn(&Document) -> bool + Send + Sync,
) -> Result<Settled, StoreError> {
    let judge = |current: Option<Versioned>| match current {
        Some(it) if it.document == *document => Settled::Done(it.revision),
        Some(it) if is_applied(&it.document) => Settled::Overtaken(it),
        other => Settled::Conflict(other),
    };
    let mut attempts = 0;
    loop {
        let unknown = match store.compare_and_swap(key, expected, document).await {
            Ok(Swap::Done(revision)) => return Ok(Settled::Done(revision)),
            // Also at the first attempt: it may be that of a caller who begins again.
            Ok(Swap::Conflict(current)) => return Ok(judge(current)),
            Err(error) if error.retry() == Retry::AfterLoad => error,
            // An earlier attempt is still unknown, whatever became of this one.
            Err(error) if attempts > 0 => {
                return Err(StoreError::unknown(format!("swap {key}"), error));
            }
            Err(error) => return Err(error),
        };
        attempts += 1;
        let Ok(current) = store.load(key).await else { return Err(unknown) };
        let is_as_expected = current.as_ref().map(|it| &it.revision) == expected;
        if !is_as_expected {
            return Ok(judge(current));
        }
        if attempts == ATTEMPTS {
            return Err(unknown);
        }
    }
}

/// How a swap ended, once that is certain.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "the document may not be stored"]
#[expect(clippy::exhaustive_enums, reason = "a swap is made or not, and then overtaken or not")]
pub enum Settled {
    /// The document is stored, under this revision.
    Done(Revision),
    /// It was stored, and others have written since: this is there now.
    Overtaken(Versioned),
    /// It was not stored, and will not be: this is there instead, or nothing is there.
    Conflict(Option<Versioned>),
}

const ATTEMPTS: u32 = 3;

#[cfg(test)]
mod tests;
