/// A set of paths.
#[derive(Clone, Debug)]
pub(crate) enum PathPattern {
    Exact(String),
    /// A path without a trailing slash, and the paths below it.
    Below(String),
    /// Every path that begins with this text, as `/package.` does for the services of a gRPC
    /// package.
    Prefix(String),
}

impl PathPattern {
    pub(crate) const fn exact(path: String) -> Self {
        Self::Exact(path)
    }

    pub(crate) fn below(prefix: String) -> Self {
        Self::Below(match prefix.strip_suffix('/') {
            Some(path) => path.to_owned(),
            None => prefix,
        })
    }

    pub(crate) fn grpc_package(package: &str) -> Self {
        Self::Prefix(format!("/{package}."))
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Below(prefix) => path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Prefix(prefix) => path.starts_with(&**prefix),
        }
    }

    /// Returns the byte after the slash that all matching paths have in common, if there is one.
    pub(crate) fn initial(&self) -> Option<u8> {
        let (Self::Exact(text) | Self::Below(text) | Self::Prefix(text)) = self;
        text.as_bytes().get(1).copied()
    }
}
