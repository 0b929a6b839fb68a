use std::fmt;

use super::fault::{Fault, quoted};

/// A place in the document of a stage, as a JSON Pointer (RFC 6901) names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Target {
    CanarySettings,
    PercentTraffic,
    UseStageCache,
    CanaryDeployment,
    Overrides,
    Override(String),
    Deployment,
    Variables,
    Variable(String),
}

impl Target {
    pub(super) fn parse(path: &str) -> Result<Self, Fault> {
        let Some(segments) = path.strip_prefix('/') else { return Err(unknown(path)) };
        let segments = segments.split('/').map(|segment| unescaped(path, segment));
        let segments = segments.collect::<Result<Vec<_>, _>>()?;
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        Ok(match segments[..] {
            ["canarySettings"] => Self::CanarySettings,
            ["canarySettings", "percentTraffic"] => Self::PercentTraffic,
            ["canarySettings", "useStageCache"] => Self::UseStageCache,
            ["canarySettings", "deploymentId"] => Self::CanaryDeployment,
            ["canarySettings", "stageVariableOverrides"] => Self::Overrides,
            ["canarySettings", "stageVariableOverrides", name] => Self::Override(name.to_owned()),
            ["deploymentId"] => Self::Deployment,
            ["variables"] => Self::Variables,
            ["variables", name] => Self::Variable(name.to_owned()),
            _ => return Err(unknown(path)),
        })
    }

    /// Returns whether a change of one is a change of the other.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Overrides, Self::Override(_))
            | (Self::Override(_), Self::Overrides)
            | (Self::Variables, Self::Variable(_))
            | (Self::Variable(_), Self::Variables) => true,
            _ => self == other,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CanarySettings => f.write_str("/canarySettings"),
            Self::PercentTraffic => f.write_str("/canarySettings/percentTraffic"),
            Self::UseStageCache => f.write_str("/canarySettings/useStageCache"),
            Self::CanaryDeployment => f.write_str("/canarySettings/deploymentId"),
            Self::Overrides => f.write_str("/canarySettings/stageVariableOverrides"),
            Self::Override(name) => {
                write!(f, "/canarySettings/stageVariableOverrides/{}", escaped(name))
            }
            Self::Deployment => f.write_str("/deploymentId"),
            Self::Variables => f.write_str("/variables"),
            Self::Variable(name) => write!(f, "/variables/{}", escaped(name)),
        }
    }
}

fn unknown(path: &str) -> Fault {
    Fault::bad_request(format_args!(
        "path {} is not supported: expected /canarySettings, /canarySettings/percentTraffic, \
         /canarySettings/useStageCache, /canarySettings/deploymentId, \
         /canarySettings/stageVariableOverrides, /canarySettings/stageVariableOverrides/NAME, \
         /deploymentId, /variables or /variables/NAME",
        quoted(path)
    ))
}

fn unescaped(path: &str, segment: &str) -> Result<String, Fault> {
    let is_escape = |rest: &str| rest.starts_with(['0', '1']);
    if segment.split('~').skip(1).all(is_escape) {
        return Ok(segment.replace("~1", "/").replace("~0", "~"));
    }
    let path = quoted(path);
    Err(Fault::bad_request(format_args!(
        "path {path} has a \"~\" without 0 or 1: expected ~0 for ~, or ~1 for /"
    )))
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_place_and_prints_as_itself() {
        for (path, target) in [
            ("/canarySettings", Target::CanarySettings),
            ("/canarySettings/percentTraffic", Target::PercentTraffic),
            ("/canarySettings/stageVariableOverrides", Target::Overrides),
            ("/canarySettings/stageVariableOverrides/a~1b~01", Target::Override("a/b~1".into())),
            ("/variables/", Target::Variable(String::new())),
            ("/deploymentId", Target::Deployment),
        ] {
            assert_eq!(Target::parse(path), Ok(target.clone()), "{path}");
            assert_eq!(target.to_string(), path);
        }
    }

    #[test]
    fn an_unknown_path_is_refused_with_the_known_ones() {
        let long = format!("/{}", "x".repeat(100));
        for (path, shown) in [
            ("", r#"path "" is not supported: expected /canarySettings,"#),
            ("variables/a", r#"path "variables/a" is not"#),
            ("/", r#"path "/" is not"#),
            ("/canarySettings/", r#"path "/canarySettings/" is not"#),
            ("/canarySettings/percentTraffic/x", "is not supported"),
            ("/canarysettings", "is not supported"),
            ("/*/*/caching/enabled", "or /variables/NAME"),
            ("/a\nb", r#"path "/a\nb" is not"#),
            (&long, r#"xxx".. is not"#),
            ("/variables/a~2", r#"path "/variables/a~2" has a "~" without 0 or 1"#),
            ("/variables/a~", "expected ~0 for ~, or ~1 for /"),
        ] {
            let fault = Target::parse(path).unwrap_err().to_string();
            assert!(fault.contains(shown), "{path}: {fault}");
        }
    }
}
