use percent_encoding::percent_decode_str;

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

    /// Returns whether a spelling of the path matches that a handler may treat as the same path:
    /// with percent-encoded characters, repeated slashes, dot segments or parameters.
    pub(crate) fn matches_spelling(&self, path: &str) -> bool {
        if !has_other_spelling(path) {
            return self.matches(path);
        }
        let segments: Vec<String> = path.split('/').flat_map(segments_of).collect();
        let kept = segments.iter().map(String::as_str).filter(|it| !matches!(*it, "" | "."));
        let mut resolved = Vec::new();
        for segment in kept.clone() {
            if segment == ".." {
                resolved.pop();
            } else {
                resolved.push(segment);
            }
        }
        let matches = |segments: Vec<&str>| self.matches(&format!("/{}", segments.join("/")));
        self.matches(path) || matches(kept.collect()) || matches(resolved)
    }

    /// Returns the byte after the slash that all matching paths have in common, if there is one.
    pub(crate) fn initial(&self) -> Option<u8> {
        self.text().as_bytes().get(1).copied()
    }

    /// Returns the length of the shortest path that matches.
    pub(crate) fn min_length(&self) -> usize {
        self.text().len()
    }

    /// Returns whether a single path matches.
    pub(crate) const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    fn text(&self) -> &str {
        let (Self::Exact(text) | Self::Below(text) | Self::Prefix(text)) = self;
        text
    }
}

fn has_other_spelling(path: &str) -> bool {
    let is_marker = |byte: &u8| matches!(byte, b'%' | b';');
    path.as_bytes().iter().any(is_marker) || path.contains("//") || path.contains("/.")
}

/// Decodes a segment, which may contain encoded slashes, and removes its parameters.
fn segments_of(segment: &str) -> Vec<String> {
    let decoded = percent_decode_str(segment).decode_utf8_lossy();
    let segments = decoded.split('/').map(|it| it.split(';').next().unwrap_or_default());
    segments.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_a_path_match() {
        let payments = PathPattern::below("/payments".to_owned());
        for path in [
            "/payments",
            "/payments/7",
            "/%70ayments",
            "/p%61yments/7",
            "//payments",
            "/./payments",
            "/x/../payments",
            "/x/%2e%2e/payments",
            "/payments%2f7",
            "/payments%2f..",
            "/payments;x",
            "/payments;x/7",
            "/x//..//payments",
        ] {
            assert!(payments.matches_spelling(path), "{path}");
        }
        for path in ["/paymentsx", "/x/payments", "/Payments", "/%2570ayments", "/%7", "/%", "/"] {
            assert!(!payments.matches_spelling(path), "{path}");
        }
        let report = PathPattern::exact("/a b/\u{e9}".to_owned());
        assert!(report.matches_spelling("/a%20b/%C3%a9"));
    }
}
