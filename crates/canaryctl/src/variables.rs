use canary_api::{Command, VariableMap};
use serde_json::Value;

use crate::{
    canary_name,
    cli::{Target, VarsOptions},
    exit::Exit,
    failure::Failure,
    order,
    session::Session,
    table::{Cell, Table},
};

/// Shows or changes variables.
pub(crate) async fn run(session: &Session, options: &VarsOptions) -> Result<Exit, Failure> {
    let (target, changes) = parse(&options.words).map_err(Failure::error)?;
    if changes.is_empty() {
        return show(session, &target).await;
    }
    let (stage, overrides) = match options.stage {
        true => (changes, VariableMap::new()),
        false => (VariableMap::new(), changes),
    };
    let command = Command::SetVariables { stage, overrides };
    order::give(session, &target, command, &options.how).await
}

async fn show(session: &Session, target: &Target) -> Result<Exit, Failure> {
    let name = canary_name::resolve(session, target).await?;
    let variables = match session.client.variables(&name).await {
        Ok(variables) => variables,
        Err(error) => return Err(session.explain(&name, error).await),
    };
    if session.output.is_json() {
        session.output.json(&variables)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new([Cell::new("VARIABLE"), Cell::new("STAGE"), Cell::new("CANARY")]);
    let only_canary =
        variables.overrides.keys().filter(|name| !variables.stage.contains_key(*name));
    for name in variables.stage.keys().chain(only_canary) {
        let text = |map: &VariableMap| map.get(name).map_or(String::new(), Value::to_string);
        let overridden = match text(&variables.overrides) {
            text if text.is_empty() => "(the same)".to_owned(),
            text => text,
        };
        table.row([Cell::new(name), Cell::new(text(&variables.stage)), Cell::new(overridden)]);
    }
    session.output.table(&table)?;
    Ok(Exit::Done)
}

/// Splits `[CANARY] [NAME=VALUE | NAME-]..`. A removed variable is `null`.
fn parse(words: &[String]) -> Result<(Target, VariableMap), String> {
    let (mut target, mut changes) = (Target::default(), VariableMap::new());
    for (index, word) in words.iter().enumerate() {
        let (name, value) = match (word.split_once('='), word.strip_suffix('-')) {
            (Some((name, value)), _) => (name, value_of(value)),
            (None, Some(name)) => (name, Value::Null),
            (None, None) if index == 0 => {
                target.canary = Some(word.clone());
                continue;
            }
            (None, None) => {
                return Err(format!(
                    "variable {word:?}: expected NAME=VALUE, or NAME- to remove it"
                ));
            }
        };
        if name.is_empty() {
            return Err(format!("variable {word:?}: expected a name"));
        }
        if changes.insert(name.to_owned(), value).is_some() {
            return Err(format!("variable {name:?}: expected one change, found two"));
        }
    }
    Ok((target, changes))
}

/// Reads a value as JSON, or else as text. `null` is text, because it would remove the variable.
fn value_of(text: &str) -> Value {
    let json = serde_json::from_str(text).ok().filter(|value| *value != Value::Null);
    json.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(line: &str) -> Result<(Option<String>, Value), String> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let (target, changes) = parse(&words)?;
        Ok((target.canary, json!(changes)))
    }

    #[test]
    fn values_are_json_or_text() {
        let (canary, changes) = words(r#"shop a=1 b=true c=b2 d="1" e=null f= g=x=y h-"#).unwrap();
        assert_eq!(canary.as_deref(), Some("shop"));
        let expected = json!({
            "a": 1, "b": true, "c": "b2", "d": "1", "e": "null", "f": "", "g": "x=y", "h": null,
        });
        assert_eq!(changes, expected);
    }

    #[test]
    fn the_canary_may_be_left_out() {
        assert_eq!(words("a=1").unwrap(), (None, json!({"a": 1})));
        assert_eq!(words("a-").unwrap(), (None, json!({"a": null})));
        assert_eq!(words("shop").unwrap(), (Some("shop".to_owned()), json!({})));
    }

    #[test]
    fn a_wrong_change_is_named() {
        for (line, expected) in [
            ("shop backend", "variable \"backend\": expected NAME=VALUE"),
            ("=1", "variable \"=1\": expected a name"),
            ("shop -", "variable \"-\": expected a name"),
            ("a=1 a-", "variable \"a\": expected one change"),
        ] {
            let error = words(line).unwrap_err();
            assert!(error.starts_with(expected), "{line}: {error}");
        }
    }
}
