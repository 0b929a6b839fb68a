use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// The configuration file.
///
/// ```toml
/// context = "dev"                       # unless --context names another
///
/// [contexts.dev]
/// server = "http://127.0.0.1:3000/canary/"
///
/// [contexts.prod]
/// server = "https://shop.example/canary/"
/// token_file = "prod.token"             # relative to this file
/// ca_file = "ca.pem"
/// ```
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    context: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, ContextEntry>,
    #[serde(skip)]
    path: PathBuf,
}

/// A context of the configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContextEntry {
    pub(crate) server: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads the configuration file of the user. A missing one is an empty one.
    pub(crate) fn load() -> Result<Self, String> {
        let Some(path) = default_path() else { return Ok(Self::default()) };
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self { path, ..Self::default() })
            }
            Err(error) => Err(format!("configuration file {}: {error}", path.display())),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, String> {
        let file: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let (path, message) = (path.display(), error.message().replace('\n', ", "));
            format!("configuration file {path}:{line}:{column}: {message}")
        })?;
        Ok(Self { path: path.to_owned(), ..file })
    }

    /// Returns the context of this name, or else the default one.
    pub(crate) fn context(&self, name: Option<&str>) -> Result<ContextEntry, String> {
        let Some(name) = name.or(self.context.as_deref()) else {
            return Ok(ContextEntry::default());
        };
        let Some(entry) = self.contexts.get(name) else {
            let names: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            let expected =
                if names.is_empty() { "[contexts.NAME]".to_owned() } else { names.join(" or ") };
            let path = self.path.display();
            return Err(format!("context {name:?}: expected {expected}, from {path}"));
        };
        let beside =
            |file: &PathBuf| self.path.parent().map_or(file.clone(), |parent| parent.join(file));
        Ok(ContextEntry {
            server: entry.server.clone(),
            token_file: entry.token_file.as_ref().map(beside),
            ca_file: entry.ca_file.as_ref().map(beside),
        })
    }
}

fn default_path() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(directory.join("canaryctl").join("config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
        context = \"dev\"\n\
        [contexts.dev]\n\
        server = \"http://127.0.0.1:3000/\"\n\
        [contexts.prod]\n\
        server = \"https://shop.example/\"\n\
        token_file = \"prod.token\"\n";

    #[test]
    fn a_context_is_chosen_by_name_or_by_default() {
        let file =
            ConfigFile::parse(FILE, Path::new("/home/ada/.config/canaryctl/config.toml")).unwrap();
        let dev = file.context(None).unwrap();
        assert_eq!(dev.server.as_deref(), Some("http://127.0.0.1:3000/"));
        let prod = file.context(Some("prod")).unwrap();
        let token_file = Path::new("/home/ada/.config/canaryctl/prod.token");
        assert_eq!(prod.token_file.as_deref(), Some(token_file));
        let error = file.context(Some("test")).unwrap_err();
        assert!(
            error.starts_with(r#"context "test": expected dev or prod, from /home"#),
            "{error}"
        );
        assert!(ConfigFile::default().context(None).unwrap().server.is_none());
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_line() {
        let error = ConfigFile::parse("token = \"secret\"", Path::new("c.toml")).unwrap_err();
        assert!(error.contains("configuration file c.toml:1:1: "), "{error}");
        assert!(error.contains("unknown field `token`"), "{error}");
    }
}
