//! A compact form for large parts of stored documents: JSON, deflated, as base64.
//!
//! Evidence repeats itself for each monitor and weight, so that it shrinks to about a tenth. The rest of
//! the document stays readable. Use it as `#[serde(with = "compact")]`.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned},
    ser,
};

pub(crate) fn serialize<S: Serializer>(
    value: &impl Serialize,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let json = serde_json::to_vec(value).map_err(ser::Error::custom)?;
    serializer.serialize_str(&BASE64_STANDARD_NO_PAD.encode(compress_to_vec(&json, LEVEL)))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    let deflated = BASE64_STANDARD_NO_PAD.decode(text).map_err(de::Error::custom)?;
    let json = decompress_to_vec_with_limit(&deflated, MAX_LEN).map_err(de::Error::custom)?;
    serde_json::from_slice(&json).map_err(de::Error::custom)
}

/// A higher level takes longer and saves less than 1 %.
const LEVEL: u8 = 6;

/// The maximum length of the JSON. Deflated zeros grow a thousandfold, and a document could fill
/// 96 MiB.
const MAX_LEN: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
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
    fn a_value_that_inflates_beyond_the_limit_is_refused() {
        let bomb = stored(json!("x".repeat(MAX_LEN)));
        assert!(bomb.len() < 16 * 1024, "it fits into a document");
        assert!(serde_json::from_str::<Stored>(&bomb).is_err());
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
