use std::{any::Any, fmt, marker::PhantomData, ops::Deref, sync::Arc};

use serde::de::DeserializeOwned;

use crate::variables::{InvalidVariables, Variables};

/// The variables of a call, deserialized into a type of the application. It is an axum extractor.
///
/// The type is set with [`CanaryOptions::typed_variables`](crate::CanaryOptions::typed_variables).
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
    target: PhantomData<fn() -> T>,
}

impl<T: 'static> TypedVariables<T> {
    /// Returns the variables as a `T`, or `None` if the options name another type or none.
    #[must_use]
    pub fn of(variables: &Variables) -> Option<Self> {
        variables.typed::<T>()?;
        Some(Self { variables: variables.clone(), target: PhantomData })
    }
}

impl<T: 'static> Deref for TypedVariables<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.variables.typed().expect("`of` checked the type, and the variables are not changed")
    }
}

impl<T> Clone for TypedVariables<T> {
    fn clone(&self) -> Self {
        Self { variables: self.variables.clone(), target: PhantomData }
    }
}

impl<T> fmt::Debug for TypedVariables<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedVariables").field(&self.variables).finish()
    }
}

/// Deserializes variables into the application's type.
pub(crate) type ParseVariables =
    fn(&Variables) -> Result<Arc<dyn Any + Send + Sync>, InvalidVariables>;

pub(crate) fn parse_as<T: DeserializeOwned + Send + Sync + 'static>(
    variables: &Variables,
) -> Result<Arc<dyn Any + Send + Sync>, InvalidVariables> {
    Ok(Arc::new(variables.read_all::<T>()?))
}
