use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{
    PlanFault,
    check::Fault,
    definition::{Plan, draft_of},
};

/// A plan within a stored rollout.
///
/// A replica can load a plan that a newer version of this crate has stored: it ignores unknown
/// fields, and stores them again unchanged.
///
/// It is shared, because the replica copies the rollout for each tick.
#[derive(Clone, PartialEq)]
pub(crate) struct StoredPlan(Arc<PlanAndText>);

#[derive(PartialEq)]
struct PlanAndText {
    plan: Plan,
    /// The plan as a newer version has written it; `None` if this version writes the same.
    written: Option<Value>,
}

impl StoredPlan {
    pub(crate) fn plan(&self) -> &Plan {
        &self.0.plan
    }
}

impl From<Plan> for StoredPlan {
    fn from(plan: Plan) -> Self {
        Self(Arc::new(PlanAndText { plan, written: None }))
    }
}

/// Prints only the plan, which hides the paths of URLs.
impl fmt::Debug for StoredPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan().fmt(f)
    }
}

impl Serialize for StoredPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.written {
            Some(written) => written.serialize(serializer),
            None => self.plan().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StoredPlan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Value::deserialize(deserializer)?;
        let mut known = written.clone();
        let fault =
            |(field, message): Fault| de::Error::custom(PlanFault::new((0, 0), &field, &message));
        // Each iteration removes one field and reads the plan again.
        let mut removed = 0;
        let draft = loop {
            match draft_of(known.clone()) {
                Ok(draft) => break draft,
                Err((field, message))
                    if removed < MAX_UNKNOWN
                        && message.starts_with("unknown field")
                        && drop_unknown(&mut known, &field, &message) =>
                {
                    removed += 1;
                }
                Err(invalid) => return Err(fault(invalid)),
            }
        };
        let plan = Plan::try_from(draft)
            .map_err(|faults| fault(faults.into_iter().next().unwrap_or_default()))?;
        let is_ours = serde_json::to_value(&plan).is_ok_and(|ours| ours == written);
        Ok(Self(Arc::new(PlanAndText { plan, written: (!is_ours).then_some(written) })))
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

/// The maximum number of unknown fields. A newer version adds a few fields to each of 100 steps.
const MAX_UNKNOWN: usize = 512;
