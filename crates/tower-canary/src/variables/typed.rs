use std::{any::Any, fmt, marker::PhantomData, ops::Deref, sync::Arc};

use serde::de::DeserializeOwned;

use crate::variables::{InvalidVariables, Variables};

/// Variables, as the service's own type. In axum it is an extractor.
///
/// ```
/// # use serde::Deserialize;
/// use tower_canary::TypedVariables;
///
/// #[derive(Deserialize)]
/// struct Settings {
///     page_size: u32,
/// }
///
/// async fn handler(settings: TypedVariables<Settings>) -> String {
///     settings.page_size.to_string()
/// }
/// ```
pub struct TypedVariables<T> {
    variables: Variables,
    of: PhantomData<fn() -> T>,
}

impl<T: 'static> TypedVariables<T> {
    /// These variables as a `T`, if the options named that type.
    #[must_use]
    pub fn of(variables: &Variables) -> Option<Self> {
        variables.typed::<T>()?;
        Some(Self { variables: variables.clone(), of: PhantomData })
    }
}

impl<T: 'static> Deref for TypedVariables<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.variables.typed().expect("it was looked at in `of`, and variables do not change")
    }
}

impl<T> Clone for TypedVariables<T> {
    fn clone(&self) -> Self {
        Self { variables: self.variables.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for TypedVariables<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedVariables").field(&self.variables).finish()
    }
}

/// Reads variables as the service's own type.
pub(crate) type ParseVariables =
    fn(&Variables) -> Result<Arc<dyn Any + Send + Sync>, InvalidVariables>;

pub(crate) fn parse_as<T: DeserializeOwned + Send + Sync + 'static>(
    variables: &Variables,
) -> Result<Arc<dyn Any + Send + Sync>, InvalidVariables> {
    Ok(Arc::new(variables.read_all::<T>()?))
}
