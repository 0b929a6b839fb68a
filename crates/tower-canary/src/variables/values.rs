use std::{any::Any, collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::variables::InvalidVariables;

/// Named configuration values of a service, such as the address of a backend or a limit.
///
/// The stage (the deployment, such as production) has variables, and the canary overrides some of
/// them by name. Handlers of stable see the variables of the stage; handlers of the canary see the
/// same variables with the overrides applied. Both can be changed at run time with
/// [`CanaryHandle::change_variables`](crate::CanaryHandle::change_variables). A call sees the same
/// values from start to end. A promotion copies the canary's values to the stage.
///
/// Handlers read them from the [`Assignment`](crate::Assignment), or with an extractor in axum.
/// Clones share their values. `Debug` prints only the names, because values can be secret.
///
/// ```
/// use serde::Deserialize;
/// use tower_canary::{Assignment, CanaryLayer, CanaryOptions, Channel, Variables};
///
/// #[derive(Deserialize)]
/// struct Settings {
///     backend: String,
///     page_size: u32,
/// }
///
/// # let v2 = tower::service_fn(|_: http::Request<()>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// # });
/// let stage = Variables::new().with("backend", "http://10.0.0.1").with("page_size", 20);
/// let overrides = Variables::new().with("backend", "http://10.0.0.2");
/// let options = CanaryOptions::new().variables(stage, overrides).typed_variables::<Settings>();
/// let canary = CanaryLayer::with_options("shop", v2, options).handle();
///
/// fn handler(assignment: &Assignment) -> String {
///     let settings: &Settings = assignment.variables().typed().expect("the options name the type");
///     format!("{}, {} per page", settings.backend, settings.page_size)
/// }
///
/// let seen = canary.variables(Channel::Canary);
/// assert_eq!(seen.read::<String>("backend")?, "http://10.0.0.2");
/// assert_eq!(seen.read::<u32>("page_size")?, 20);
///
/// let result = canary.change_variables(|_stage, overrides| overrides.set("page_size", "many"));
/// assert_eq!(
///     result.unwrap_err().to_string(),
///     "invalid variables for canary: page_size: invalid type: string \"many\", expected u32"
/// );
/// # let _ = handler;
/// # Ok::<(), tower_canary::InvalidVariables>(())
/// ```
#[derive(Clone, Default)]
pub struct Variables {
    values: Arc<BTreeMap<String, Value>>,
    /// The values as the application's type, if the options name one.
    typed: Option<Arc<dyn Any + Send + Sync>>,
}

impl Variables {
    /// Returns an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a variable for each field of a struct or each entry of a map.
    ///
    /// # Errors
    ///
    /// Returns an error if `values` does not serialize into a JSON object.
    pub fn try_from_struct(values: &impl Serialize) -> Result<Self, InvalidVariables> {
        let fail = |reason: &dyn fmt::Display| {
            InvalidVariables::new(format!("cannot serialize the value into variables: {reason}"))
        };
        match serde_json::to_value(values) {
            Ok(Value::Object(values)) => Ok(values.into_iter().collect()),
            Ok(other) => Err(fail(&format_args!("expected an object, found {other}"))),
            Err(error) => Err(fail(&error)),
        }
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds or replaces a variable in place.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.typed = None;
        Arc::make_mut(&mut self.values).insert(name.into(), value.into());
    }

    /// Removes a variable. If it is an override, the canary sees the value of the stage again.
    pub fn remove(&mut self, name: &str) {
        self.typed = None;
        Arc::make_mut(&mut self.values).remove(name);
    }

    /// Returns the value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Returns the value of a variable, if it is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Deserializes a variable into a `T`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no variable of this name, or if its value does not deserialize
    /// into a `T`.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T, InvalidVariables> {
        let Some(value) = self.get(name) else {
            return Err(InvalidVariables::new(format!("unknown variable {name}")));
        };
        T::deserialize(value).map_err(|error| InvalidVariables::new(format!("{name}: {error}")))
    }

    /// Deserializes all variables into a struct.
    ///
    /// To read variables in every call, use
    /// [`CanaryOptions::typed_variables`](crate::CanaryOptions::typed_variables), which
    /// deserializes once per change.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable is missing or has the wrong type.
    pub fn read_all<T: DeserializeOwned>(&self) -> Result<T, InvalidVariables> {
        let values: Map<String, Value> =
            self.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        let all = serde_path_to_error::deserialize(Value::Object(values));
        all.map_err(|error| InvalidVariables::new(error.to_string()))
    }

    /// Returns the variables as the type set with
    /// [`typed_variables`](crate::CanaryOptions::typed_variables), or `None` if `T` is not that
    /// type.
    #[must_use]
    pub fn typed<T: 'static>(&self) -> Option<&T> {
        self.typed.as_deref()?.downcast_ref()
    }

    /// Iterates over the names and values, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns whether there are no variables.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns these variables with `overrides` applied.
    pub(super) fn overridden_by(&self, overrides: &Self) -> Self {
        if overrides.is_empty() {
            return Self { values: Arc::clone(&self.values), typed: None };
        }
        self.iter().chain(overrides.iter()).map(|(name, value)| (name, value.clone())).collect()
    }

    pub(super) fn set_typed(&mut self, typed: Arc<dyn Any + Send + Sync>) {
        self.typed = Some(typed);
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let values = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { values: Arc::new(values.collect()), typed: None }
    }
}

impl PartialEq for Variables {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Serialize for Variables {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::deserialize(deserializer)?;
        Ok(Self { values: Arc::new(values), typed: None })
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
