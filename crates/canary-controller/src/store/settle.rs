use super::{Document, Retry, Revision, StateStore, StoreError, StoreKey, Swap, Versioned};

/// Makes a swap and resolves an unknown outcome.
///
/// If the response to a swap is lost, the swap may have been made, or may be made later. A blind
/// retry would conflict with the caller's own write. Therefore put a unique id of each write into
/// the document, and keep the ids of the last few writes there (16 are enough). `is_applied` must
/// return whether a document contains the id of this write. If it does not, and the revision is
/// still the expected one, `settle` repeats the same swap. At most one of the two can succeed.
///
/// # Errors
///
/// Returns the errors of [`StateStore::compare_and_swap`]. Returns [`Unknown`](StoreError::Unknown)
/// if the store cannot be loaded either, or if three swaps in a row had an unknown outcome; then
/// call `settle` again with the same arguments.
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
    let classify = |current: Option<Versioned>| match current {
        Some(it) if it.document == *document => Settled::Done(it.revision),
        Some(it) if is_applied(&it.document) => Settled::Overtaken(it),
        other => Settled::Conflict(other),
    };
    let mut attempts = 0;
    loop {
        let unknown = match store.compare_and_swap(key, expected, document).await {
            Ok(Swap::Done(revision)) => return Ok(Settled::Done(revision)),
            // The first attempt may follow an earlier call of `settle` with the same arguments.
            Ok(Swap::Conflict(current)) => return Ok(classify(current)),
            Err(error) if error.retry() == Retry::AfterLoad => error,
            // The outcome of an earlier attempt is still unknown.
            Err(error) if attempts > 0 => {
                return Err(StoreError::unknown(format!("swap {key}"), error));
            }
            Err(error) => return Err(error),
        };
        attempts += 1;
        let Ok(current) = store.load(key).await else { return Err(unknown) };
        let is_as_expected = current.as_ref().map(|it| &it.revision) == expected;
        if !is_as_expected {
            return Ok(classify(current));
        }
        if attempts == MAX_ATTEMPTS {
            return Err(unknown);
        }
    }
}

/// The definite outcome of a swap.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "the document may not be stored"]
#[expect(clippy::exhaustive_enums, reason = "the cases are complete")]
pub enum Settled {
    /// The document was stored, and is current under this revision.
    Done(Revision),
    /// The document was stored and then replaced by another writer. Contains the current document.
    Overtaken(Versioned),
    /// The document was not and will not be stored. Contains the current document, or `None` if the
    /// key has none.
    Conflict(Option<Versioned>),
}

const MAX_ATTEMPTS: u32 = 3;

#[cfg(test)]
mod tests;
