//! Documents of numbers, as in the conformance suite.

use canary_controller::store::{
    Document, KeyRange, Revision, Settled, StateStore, StoreKey, Swap, Versioned, settle,
};

pub(crate) fn key(name: &str) -> StoreKey {
    KeyRange::rollouts("prod").unwrap().key(&name.parse().unwrap())
}

pub(crate) fn number_document(number: u64) -> Document {
    Document::try_new(format!(r#"{{"number":{number}}}"#)).unwrap()
}

/// Makes a swap without other writers.
pub(crate) async fn swap(
    store: &dyn StateStore,
    key: &StoreKey,
    expected: Option<&Revision>,
    number: u64,
) -> Versioned {
    let document = number_document(number);
    match store.compare_and_swap(key, expected, &document).await.unwrap() {
        Swap::Done(revision) => Versioned { revision, document },
        Swap::Conflict(current) => panic!("found {current:?}"),
    }
}

/// A number, and the ids of the last increments.
#[derive(Clone)]
struct Sum {
    number: u64,
    ids: Vec<String>,
}

impl Sum {
    fn parse(document: &Document) -> Self {
        let json: serde_json::Value = serde_json::from_str(document.as_str()).unwrap();
        let ids = json["ids"].as_array().unwrap();
        let ids = ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        Self { number: json["number"].as_u64().unwrap(), ids }
    }

    fn plus_one(mut self, id: &str) -> Self {
        if self.ids.len() == 16 {
            self.ids.remove(0);
        }
        self.ids.push(id.to_owned());
        Self { number: self.number + 1, ..self }
    }

    fn document(&self) -> Document {
        let json = serde_json::json!({ "number": self.number, "ids": self.ids });
        Document::try_new(json.to_string()).unwrap()
    }
}

/// Returns the sum of all increments of a key.
pub(crate) async fn sum(store: &dyn StateStore, key: &StoreKey) -> u64 {
    store.load(key).await.unwrap().map_or(0, |current| Sum::parse(&current.document).number)
}

/// Increments the number of a document, concurrently with other writers and during outages.
pub(crate) async fn increment(store: &dyn StateStore, key: &StoreKey, writer: &str, times: u64) {
    for number in 0..times {
        let id = format!("{writer}-{number}");
        while !try_increment(store, key, &id).await {
            tokio::task::yield_now().await;
        }
    }
}

/// Returns whether the increment was made.
async fn try_increment(store: &dyn StateStore, key: &StoreKey, id: &str) -> bool {
    let Ok(current) = store.load(key).await else { return false };
    let empty = Sum { number: 0, ids: Vec::new() };
    let sum = current.as_ref().map_or(empty, |it| Sum::parse(&it.document));
    let document = sum.plus_one(id).document();
    let expected = current.as_ref().map(|it| &it.revision);
    let has_id = |document: &Document| Sum::parse(document).ids.iter().any(|it| it == id);
    loop {
        match settle(store, key, expected, &document, has_id).await {
            Ok(Settled::Done(_) | Settled::Overtaken(_)) => return true,
            Ok(Settled::Conflict(_)) => return false,
            // Unknown until the same swap is settled.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
