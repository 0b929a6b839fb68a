//! Serialized forms of types that do not implement serde.

/// Weights as "0.1%".
pub(crate) mod weight {
    use canary_core::Weight;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(it: &Weight, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(it)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Weight, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Durations as "5m".
pub(crate) mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::span;

    pub(crate) fn serialize<S: Serializer>(it: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&span::Span(*it))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        span::parse(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// Optional durations as "5m".
pub(crate) mod maybe_span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize, Serialize)]
    struct Written(#[serde(with = "super::span")] Duration);

    #[expect(clippy::ref_option, reason = "serde requires this signature")]
    pub(crate) fn serialize<S: Serializer>(
        it: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        it.map(Written).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Written>::deserialize(from)?.map(|Written(it)| it))
    }
}

/// Verdicts as "healthy".
pub(crate) mod verdict {
    use canary_core::Verdict;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(it: &Verdict, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(it.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Verdict, D::Error> {
        let text = String::deserialize(from)?;
        [Verdict::Healthy, Verdict::Degraded, Verdict::Inconclusive]
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
            .ok_or_else(|| {
                de::Error::custom(format!(
                    "unknown verdict {text:?}: expected healthy, degraded or inconclusive"
                ))
            })
    }
}

/// Optional secrets as hexadecimal digits.
pub(crate) mod maybe_secret {
    use canary_core::StickySecret;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[expect(clippy::ref_option, reason = "serde requires this signature")]
    pub(crate) fn serialize<S: Serializer>(
        it: &Option<StickySecret>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        it.map(|secret| secret.to_hex()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<StickySecret>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse()).transpose().map_err(de::Error::custom)
    }
}

/// Names of `canary-core` as strings.
pub(crate) mod name {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<T: Display, S: Serializer>(it: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(it)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
