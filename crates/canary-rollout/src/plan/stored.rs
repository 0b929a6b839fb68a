use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::definition::{Plan, draft_of};

/// A plan within a stored rollout.
///
/// A replica can load a plan that a newer version of this crate has stored: it ignores unknown
/// fields, and stores them again unchanged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredPlan {
    pub(crate) plan: Plan,
    written: Value,
}

impl From<Plan> for StoredPlan {
    fn from(plan: Plan) -> Self {
        let written =
            serde_json::to_value(&plan).expect("a plan serializes as strings and numbers");
        Self { plan, written }
    }
}

impl Serialize for StoredPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredPlan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Value::deserialize(deserializer)?;
        let mut known = written.clone();
        // Each iteration removes one field, so the loop ends.
        let draft = loop {
            match draft_of(known.clone()) {
                Ok(draft) => break draft,
                Err((field, message)) if message.starts_with("unknown field") => {
                    if !drop_unknown(&mut known, &field, &message) {
                        return Err(de::Error::custom(format!("{field}: {message}")));
                    }
                }
                Err((field, message)) => {
                    return Err(de::Error::custom(format!("{field}: {message}")));
                }
            }
        };
        let plan = Plan::try_from(draft).map_err(|faults| {
            let (field, message) = faults.into_iter().next().unwrap_or_default();
            de::Error::custom(format!("{field}: {message}"))
        })?;
        Ok(Self { plan, written })
    }
}

fn drop_unknown(value: &mut Value, path: &str, message: &str) -> bool {
    let Some(name) = message.split('`').nth(1) else { return false };
    let mut at = value;
    for part in path.split(['.', '[']).filter(|part| !part.is_empty() && *part != name) {
        let next = match at {
            Value::Object(fields) => fields.get_mut(part),
            Value::Array(items) => {
                let index = part.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
                index.and_then(|index| items.get_mut(index))
            }
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    at.as_object_mut().is_some_and(|fields| fields.remove(name).is_some())
}
