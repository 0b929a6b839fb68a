/// The index of a call's class among the classes of the layer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct RouteIndex(pub(super) u8);

impl RouteIndex {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}
