//! A compact form for large parts of stored documents: JSON, deflated, as base64.
//!
//! Evidence repeats itself for each monitor and weight, so that it shrinks to about a tenth. The rest of
//! the document stays readable. Use it as `#[serde(with = "compact")]`, or as a [`Compact`] for a value that
//! is written again and again.

use std::{
    cell::RefCell,
    marker::PhantomData,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use miniz_oxide::{
    deflate::core::{
        CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output,
        create_comp_flags_from_zip_params,
    },
    inflate::decompress_to_vec_with_limit,
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned},
    ser,
};

pub(crate) fn serialize<S: Serializer>(
    value: &impl Serialize,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_text(value).map_err(ser::Error::custom)?)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    from_text(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let deflated = BASE64_STANDARD_NO_PAD.decode(text).map_err(|error| error.to_string())?;
    let json =
        decompress_to_vec_with_limit(&deflated, MAX_LEN).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

/// Refuses a value that could not be read again.
fn to_text(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_vec(value)?;
    if json.len() > MAX_LEN {
        return Err(ser::Error::custom(TOO_LONG));
    }
    Ok(BASE64_STANDARD_NO_PAD.encode(deflate(&json)))
}

/// A shared value that is compressed once, however often it is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compact<T>(Arc<(T, OnceLock<String>)>);

impl<T: Clone> Compact<T> {
    /// Returns the value.
    pub(crate) fn into_inner(self) -> T {
        Arc::unwrap_or_clone(self.0).0
    }
}

impl<T> From<T> for Compact<T> {
    fn from(value: T) -> Self {
        Self(Arc::new((value, OnceLock::new())))
    }
}

impl<T> Deref for Compact<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.0
    }
}

impl<T: PartialEq> PartialEq for Compact<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Serialize> Serialize for Compact<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (value, written) = &*self.0;
        let text = match written.get() {
            Some(text) => text,
            None => {
                let text = to_text(value).map_err(ser::Error::custom)?;
                written.get_or_init(|| text)
            }
        };
        serializer.serialize_str(text)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Compact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize::<D, T>(deserializer).map(Self::from)
    }
}

/// The compact form alone, of a value that is seldom read. `None` if the value is too long: it is not
/// written then.
#[derive(Debug)]
pub(crate) struct CompactText<T>(Option<Arc<str>>, PhantomData<fn() -> T>);

impl<T: DeserializeOwned + Serialize> CompactText<T> {
    /// Compresses a value.
    pub(crate) fn new(value: &T) -> Self {
        Self(to_text(value).ok().map(Into::into), PhantomData)
    }

    /// Reads the value, which was written or read before.
    pub(crate) fn read(&self) -> T {
        let text = self.0.as_ref().expect("a value that is too long is not written");
        from_text(text).expect("it was written by `new`, or read before")
    }
}

impl<T> Clone for CompactText<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<T> Serialize for CompactText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.as_ref().ok_or_else(|| ser::Error::custom(TOO_LONG))?;
        serializer.serialize_str(text)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for CompactText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        from_text::<T>(&text).map_err(de::Error::custom)?;
        Ok(Self(Some(text.into()), PhantomData))
    }
}

/// The compact form of a value that seldom changes, as it was when it was last written.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatestCompact<T>(Option<Compact<T>>);

impl<T: Clone + PartialEq> LatestCompact<T> {
    /// Returns the compact form of the value. It is the one of the last call if they are equal.
    pub(crate) fn of(&mut self, value: &T) -> Compact<T> {
        match &self.0 {
            Some(latest) if **latest == *value => latest.clone(),
            _ => self.0.insert(Compact::from(value.clone())).clone(),
        }
    }
}

fn deflate(json: &[u8]) -> Vec<u8> {
    match u16::try_from(json.len()) {
        Ok(len) if json.len() <= SHORT => stored_block(len, json),
        _ => COMPRESSOR.with_borrow_mut(|compressor| {
            compressor.reset();
            let mut deflated = Vec::with_capacity(json.len() / 4);
            let write = |part: &[u8]| {
                deflated.extend_from_slice(part);
                true
            };
            let (status, _) = compress_to_output(compressor, json, TDEFLFlush::Finish, write);
            debug_assert_eq!(status, TDEFLStatus::Done, "the output takes all bytes");
            deflated
        }),
    }
}

/// Returns the deflated form of short JSON: one block without compression.
fn stored_block(len: u16, json: &[u8]) -> Vec<u8> {
    const LAST_STORED_BLOCK: u8 = 1;
    [&[LAST_STORED_BLOCK], &len.to_le_bytes()[..], &(!len).to_le_bytes(), json].concat()
}

thread_local! {
    /// Has 300 kB. To allocate and clear it takes longer than to compress usual evidence.
    static COMPRESSOR: RefCell<CompressorOxide> =
        RefCell::new(CompressorOxide::new(create_comp_flags_from_zip_params(LEVEL, RAW, 0)));
}

/// A higher level takes longer and saves less than 1 %.
const LEVEL: i32 = 6;

/// Without the header and the checksum of zlib.
const RAW: i32 = 0;

/// JSON up to this length, in bytes, is not compressed. The counts of a canary at one weight would become
/// shorter by a third, and to compress them takes as long as the rest of their publication.
const SHORT: usize = 256;

/// The maximum length of the JSON. Deflated zeros grow a thousandfold, and a document could fill
/// 96 MiB.
const MAX_LEN: usize = 1024 * 1024;

const TOO_LONG: &str = "the value has more than 1 MiB of JSON";

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicU32, Ordering},
    };

    use serde_json::{Value, json};

    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Stored {
        #[serde(with = "super")]
        part: Value,
    }

    fn stored(part: Value) -> String {
        serde_json::to_string(&Stored { part }).unwrap()
    }

    #[test]
    fn a_value_is_read_as_it_was_written() {
        for value in [json!(null), json!({ "a": [1, 2.5, "ä"] }), json!("x".repeat(100_000))] {
            let text = stored(value.clone());
            assert!(text.len() < 200, "{} bytes", text.len());
            assert_eq!(serde_json::from_str::<Stored>(&text).unwrap().part, value);
        }
    }

    #[test]
    fn short_values_are_not_compressed_and_read_as_they_were_written() {
        for len in [SHORT - 3, SHORT - 2, SHORT - 1, 0] {
            let value = json!("y".repeat(len));
            assert_eq!(serde_json::from_str::<Stored>(&stored(value.clone())).unwrap().part, value);
        }
        assert_eq!(stored(json!(null)), r#"{"part":"AQQA+/9udWxs"}"#);
    }

    #[test]
    fn an_equal_value_is_compressed_once() {
        /// A number, and how often it was written.
        #[derive(Clone, Default)]
        struct Counted(u32, Arc<AtomicU32>);

        impl PartialEq for Counted {
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }

        impl Counted {
            fn of(value: u32, writes: &Arc<AtomicU32>) -> Self {
                Self(value, Arc::clone(writes))
            }
        }

        impl Serialize for Counted {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.1.fetch_add(1, Ordering::Relaxed);
                self.0.serialize(serializer)
            }
        }
        let (writes, mut latest) = (Arc::default(), LatestCompact::default());
        let write = |value: u32, latest: &mut LatestCompact<Counted>| {
            serde_json::to_string(&latest.of(&Counted::of(value, &writes))).unwrap()
        };
        assert_eq!(write(7, &mut latest), write(7, &mut latest));
        assert_ne!(write(8, &mut latest), write(7, &mut latest));
        assert_eq!(writes.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_value_does_not_depend_on_those_before_it() {
        let [one, other] = ["one", "other"].map(|text| json!(text.repeat(1_000)));
        let first = stored(one.clone());
        stored(other);
        assert_eq!(stored(one), first);
    }

    #[test]
    fn a_value_that_inflates_beyond_the_limit_is_refused() {
        let json = serde_json::to_vec(&"x".repeat(MAX_LEN)).unwrap();
        let bomb = json!({ "part": BASE64_STANDARD_NO_PAD.encode(deflate(&json)) }).to_string();
        assert!(bomb.len() < 16 * 1024, "it fits into a document");
        assert!(serde_json::from_str::<Stored>(&bomb).is_err());
    }

    #[test]
    fn the_longest_value_that_is_written_can_be_read() {
        for (len, fits) in [(MAX_LEN - 2, true), (MAX_LEN - 1, false)] {
            let value = json!("x".repeat(len));
            let texts = [
                serde_json::to_string(&Stored { part: value.clone() }),
                serde_json::to_string(&BTreeMap::from([("part", Compact::from(value.clone()))])),
                serde_json::to_string(&BTreeMap::from([("part", CompactText::new(&value))])),
            ];
            for text in texts {
                let read = text.map(|text| serde_json::from_str::<Stored>(&text).unwrap().part);
                assert_eq!(read.ok(), fits.then(|| value.clone()), "{len}");
            }
        }
    }

    #[test]
    fn a_damaged_value_is_refused() {
        let text = stored(json!({ "counts": [1, 2, 3] }));
        for len in 10..text.len() - 2 {
            let cut = format!("{}\"}}", &text[..len]);
            assert!(serde_json::from_str::<Stored>(&cut).is_err(), "{cut}");
        }
    }
}
