//! Serialized forms of types that do not implement serde.

/// Weights as "0.1%".
pub(crate) mod weight {
    use std::fmt;

    use canary_core::Weight;
    use serde::{Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(it: &Weight, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(it)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Weight, D::Error> {
        from.deserialize_any(WeightVisitor)
    }

    /// Reads a text. The error for a number names the text to write instead.
    struct WeightVisitor;

    impl WeightVisitor {
        fn number<E: de::Error>(number: impl fmt::Display) -> E {
            let text = format!("{number}%");
            let example = text.parse().unwrap_or(Weight::from_percent(10));
            E::custom(format!(
                "expected a percentage such as \"{example}\", found the number {number}"
            ))
        }
    }

    impl de::Visitor<'_> for WeightVisitor {
        type Value = Weight;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a percentage such as \"10%\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Weight, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Weight, E> {
            Err(Self::number(number))
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Weight, E> {
            Err(Self::number(number))
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Weight, E> {
            Err(Self::number(number))
        }
    }
}

/// Optional weights as "0.1%".
pub(crate) mod maybe_weight {
    use canary_core::Weight;
    use serde::{Deserialize, Deserializer};

    #[derive(Deserialize)]
    struct Written(#[serde(with = "super::weight")] Weight);

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Weight>, D::Error> {
        Ok(Option::<Written>::deserialize(from)?.map(|Written(it)| it))
    }
}

/// Durations as "5m".
pub(crate) mod span {
    use std::{fmt, time::Duration};

    use serde::{Deserializer, Serializer, de};

    use crate::span;

    pub(crate) fn serialize<S: Serializer>(it: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&span::Span(*it))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_any(SpanVisitor)
    }

    /// Reads a text. The error for a number names texts to write instead.
    struct SpanVisitor;

    impl de::Visitor<'_> for SpanVisitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration with a unit such as \"5m\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            span::parse(text).map_err(E::custom)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Duration, E> {
            Err(E::custom(span::number_fault(number)))
        }
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

/// Time limits as "5m", or "none".
pub(crate) mod limit {
    use std::{fmt, time::Duration};

    use serde::{Deserializer, Serializer, de};

    use crate::span;

    #[expect(clippy::ref_option, reason = "serde requires this signature")]
    pub(crate) fn serialize<S: Serializer>(
        it: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match it {
            Some(limit) => to.collect_str(&span::Span(*limit)),
            None => to.serialize_str(NONE),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        from.deserialize_any(LimitVisitor)
    }

    /// Reads a text. The error for a number names texts to write instead.
    struct LimitVisitor;

    impl de::Visitor<'_> for LimitVisitor {
        type Value = Option<Duration>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a duration with a unit such as \"5m\", or \"{NONE}\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            if text.trim() == NONE {
                return Ok(None);
            }
            let or_none = |message| E::custom(format!("{message}, or \"{NONE}\""));
            span::parse(text).map(Some).map_err(or_none)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
            Err(E::custom(format!("{}, or \"{NONE}\"", span::number_fault(number))))
        }
    }

    const NONE: &str = "none";
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
