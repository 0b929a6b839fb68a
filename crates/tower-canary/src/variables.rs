mod change;
mod typed;

use std::{any::Any, collections::BTreeMap, error, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use self::typed::TypedVariables;
pub(crate) use self::{
    change::{BeforePromotion, VariableSets},
    typed::{ParseVariables, parse_as},
};

/// Named values by which a service is configured, such as the address of a backend or a limit.
///
/// A stage has variables, and the canary overrides some of them: handlers of stable see the stage's, those
/// of the canary the same with the overrides in place, name by name. Both change while calls come in
/// ([`CanaryHandle::change_variables`](crate::CanaryHandle::change_variables)); one call sees one set from
/// its beginning to its end. A promotion makes the canary's values the stage's.
///
/// Handlers read them from the [`Assignment`](crate::Assignment), and in axum by an extractor. Clones
/// share their values. `Debug` shows the names only, since values can be secrets.
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
///     let settings: &Settings = assignment.variables().typed().expect("the options say so");
///     format!("{} by {}", settings.backend, settings.page_size)
/// }
///
/// let seen = canary.variables(Channel::Canary);
/// assert_eq!(seen.read::<String>("backend")?, "http://10.0.0.2");
/// assert_eq!(seen.read::<u32>("page_size")?, 20);
///
/// let refused = canary.change_variables(|_stage, overrides| overrides.set("page_size", "many"));
/// assert_eq!(
///     refused.unwrap_err().to_string(),
///     "the variables of canary are refused: page_size: invalid type: string \"many\", expected u32"
/// );
/// # let _ = handler;
/// # Ok::<(), tower_canary::InvalidVariables>(())
/// ```
#[derive(Clone, Default)]
pub struct Variables {
    values: Arc<BTreeMap<String, Value>>,
    /// The values as the service's own type, if it gave one.
    typed: Option<Arc<dyn Any + Send + Sync>>,
}

impl Variables {
    /// No variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The fields of a struct.
    ///
    /// # Errors
    ///
    /// If the value does not serialize into an object with names.
    pub fn try_from_struct(values: &impl Serialize) -> Result<Self, InvalidVariables> {
        let fail = |why: &dyn fmt::Display| {
            InvalidVariables::new(format!("the value does not serialize into variables: {why}"))
        };
        match serde_json::to_value(values) {
            Ok(Value::Object(values)) => Ok(values.into_iter().collect()),
            Ok(other) => Err(fail(&format_args!("{other} is no object"))),
            Err(error) => Err(fail(&error)),
        }
    }

    /// These variables and one more, or one replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.typed = None;
        Arc::make_mut(&mut self.values).insert(name.into(), value.into());
    }

    /// Removes a variable. Of the overrides: the canary sees the stage's value again.
    pub fn remove(&mut self, name: &str) {
        self.typed = None;
        Arc::make_mut(&mut self.values).remove(name);
    }

    /// A variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// A variable's value, if it is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Reads a variable as a value of type `T`.
    ///
    /// # Errors
    ///
    /// If there is no variable of this name, or its value is no `T`.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T, InvalidVariables> {
        let Some(value) = self.get(name) else {
            return Err(InvalidVariables::new(format!("there is no variable {name}")));
        };
        T::deserialize(value).map_err(|error| InvalidVariables::new(format!("{name}: {error}")))
    }

    /// Reads all variables as a struct.
    ///
    /// For what is read with each call, let the layer do it once per change:
    /// [`CanaryOptions::typed_variables`](crate::CanaryOptions::typed_variables).
    ///
    /// # Errors
    ///
    /// If one is missing or of another type.
    pub fn read_all<T: DeserializeOwned>(&self) -> Result<T, InvalidVariables> {
        let values: Map<String, Value> =
            self.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        let all = serde_path_to_error::deserialize(Value::Object(values));
        all.map_err(|error| InvalidVariables::new(error.to_string()))
    }

    /// All variables as the type that the options named
    /// ([`typed_variables`](crate::CanaryOptions::typed_variables)); `None`, if they named another.
    #[must_use]
    pub fn typed<T: 'static>(&self) -> Option<&T> {
        self.typed.as_deref()?.downcast_ref()
    }

    /// All names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// These, with the overrides in place.
    fn overridden_by(&self, overrides: &Self) -> Self {
        if overrides.is_empty() {
            return Self { values: Arc::clone(&self.values), typed: None };
        }
        self.iter().chain(overrides.iter()).map(|(name, value)| (name, value.clone())).collect()
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

/// Variables that are missing, or not of the type they should be. The message names them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidVariables {
    message: String,
}

impl InvalidVariables {
    const fn new(message: String) -> Self {
        Self { message }
    }
}

impl fmt::Display for InvalidVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for InvalidVariables {}
