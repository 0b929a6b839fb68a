use std::fmt;

use canary_core::RouteClass;

use crate::{
    config::valid::valid,
    counting::route_index::RouteIndex,
    select::{Condition, RequestHead},
};

/// Classes of routes whose calls are also counted separately.
///
/// A broken checkout can go unnoticed among many healthy reads, unless a monitor observes it
/// separately. A request belongs to the first class whose condition it meets, if any. Its call
/// counts both for the class and for the canary as a whole. The counts of classes contain only
/// [evidence](crate::counts::Counts::classes).
///
/// ```
/// use http::Method;
/// use tower_canary::{CanaryOptions, RouteClasses, select::Condition};
///
/// let classes = RouteClasses::new()
///     .class("checkout", Condition::path_prefix("/checkout"))
///     .class("writes", Condition::method(Method::GET).not());
/// let options = CanaryOptions::new().route_classes(classes);
/// # let _ = options;
/// ```
///
/// The conditions are checked for each call, before the policy, and must not panic. A class takes
/// about 8 KiB per thread and epoch, allocated by its first call.
#[derive(Default)]
#[must_use]
pub struct RouteClasses {
    names: Vec<RouteClass>,
    conditions: Vec<Condition>,
}

impl RouteClasses {
    /// The maximum number of classes. Each class takes memory, and its monitors get a part of the
    /// error rate `alpha` of a plan.
    pub const MAX: usize = 16;

    /// Creates an empty set of classes.
    pub const fn new() -> Self {
        Self { names: Vec::new(), conditions: Vec::new() }
    }

    /// Adds a class for requests that meet `condition` and belong to no earlier class.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a valid [`RouteClass`], if there is already a class of this name, or
    /// if there are already [`MAX`](Self::MAX) classes.
    pub fn class(
        mut self,
        name: impl TryInto<RouteClass, Error: fmt::Display>,
        condition: Condition,
    ) -> Self {
        let name = valid(name);
        assert!(!self.names.contains(&name), "two route classes are named {name}");
        let max = Self::MAX;
        assert!(self.names.len() < max, "route class {name}: there are already {max} classes");
        self.names.push(name);
        self.conditions.push(condition);
        self
    }

    pub(crate) fn names(&self) -> &[RouteClass] {
        &self.names
    }

    pub(crate) fn find(&self, request: &RequestHead<'_>) -> Option<RouteIndex> {
        let index = self.conditions.iter().position(|condition| condition.matches(request))?;
        u8::try_from(index).ok().map(RouteIndex)
    }
}

impl fmt::Debug for RouteClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteClasses").field(&self.names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "two route classes are named checkout")]
    fn a_second_class_of_the_same_name_is_refused() {
        let classes = RouteClasses::new().class("checkout", Condition::any());
        let _ = classes.class("checkout", Condition::any());
    }

    #[test]
    #[should_panic(expected = "route class c16: there are already 16 classes")]
    fn a_seventeenth_class_is_refused() {
        let _ = (0..=16).fold(RouteClasses::new(), |classes, number| {
            classes.class(format!("c{number}"), Condition::any())
        });
    }

    #[test]
    #[should_panic(expected = "route class \"/checkout\": expected 1 to 63 characters")]
    fn an_invalid_class_name_is_refused() {
        let _ = RouteClasses::new().class("/checkout", Condition::any());
    }
}
