use std::fmt;

use canary_core::RouteClass;

use crate::{
    config::valid::valid,
    select::{Condition, RequestHead},
};

/// Classes of routes whose calls are counted by themselves, beside the whole.
///
/// A checkout that the canary breaks hides among healthy reads, unless a monitor watches it alone. The
/// first class whose condition a request meets is its class, and requests that meet none are in the
/// whole only. Counts of a class are [evidence](crate::Counts::classes).
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
/// Conditions are asked for each call, before the policy is, and must not panic. Each class takes some
/// 10 KiB per thread and weight, from its first call on.
#[derive(Default)]
#[must_use]
pub struct RouteClasses {
    names: Vec<RouteClass>,
    conditions: Vec<Condition>,
}

/// Which of a layer's classes a call is in.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct RouteIndex(u8);

impl RouteClasses {
    /// The most classes that there may be: monitors share `alpha`, and each class takes memory.
    pub const MOST: usize = 16;

    /// No classes.
    pub const fn new() -> Self {
        Self { names: Vec::new(), conditions: Vec::new() }
    }

    /// Adds the class of the requests that meet `condition` and are in no earlier class.
    ///
    /// # Panics
    ///
    /// If `name` is a text that is no [`RouteClass`], there is a class of this name, or there are
    /// [`MOST`](Self::MOST) already.
    pub fn class(
        mut self,
        name: impl TryInto<RouteClass, Error: fmt::Display>,
        condition: Condition,
    ) -> Self {
        let name = valid(name);
        assert!(!self.names.contains(&name), "two classes of routes are named {name}");
        let most = Self::MOST;
        assert!(self.names.len() < most, "{name} is one class more than the {most} there may be");
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

impl RouteIndex {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
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
    #[should_panic(expected = "two classes of routes are named checkout")]
    fn a_class_has_one_condition() {
        let classes = RouteClasses::new().class("checkout", Condition::any());
        let _ = classes.class("checkout", Condition::any());
    }

    #[test]
    #[should_panic(expected = "c16 is one class more than the 16 there may be")]
    fn classes_are_bounded() {
        let _ = (0..=16).fold(RouteClasses::new(), |classes, number| {
            classes.class(format!("c{number}"), Condition::any())
        });
    }

    #[test]
    #[should_panic(expected = "class of routes \"/checkout\": expected 1 to 63 characters")]
    fn a_path_is_no_name() {
        let _ = RouteClasses::new().class("/checkout", Condition::any());
    }
}
