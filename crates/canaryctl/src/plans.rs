use std::{fs, io, path::Path};

use canary_api::{PlanCheck, PlanCheckRequest, PlanFault, PlanFormat, PlanRequest};

use crate::{
    canary_name,
    cli::{How, PlanCheckOptions, PlanVerb, Target, split},
    confirm::confirm,
    exit::Exit,
    failure::Failure,
    session::Session,
};

/// Shows, checks or replaces a plan.
pub(crate) async fn run(session: &Session, verb: &PlanVerb) -> Result<Exit, Failure> {
    match verb {
        PlanVerb::Show(target) => show(session, target).await,
        PlanVerb::Check(options) => check(session, options).await,
        PlanVerb::Apply { words, how } => {
            let (target, file) = split(words);
            apply(session, &target, Path::new(&file), how).await
        }
        PlanVerb::Schema => {
            session.output.line(SCHEMA.trim_end())?;
            Ok(Exit::Done)
        }
    }
}

async fn show(session: &Session, target: &Target) -> Result<Exit, Failure> {
    let name = canary_name::resolve(session, target).await?;
    let view = match session.client.plan(&name).await {
        Ok(view) => view,
        Err(error) => return Err(session.explain(&name, error).await),
    };
    if session.output.is_json() {
        session.output.json(&view)?;
    } else {
        session.output.json(&view.plan)?;
    }
    Ok(Exit::Done)
}

async fn check(session: &Session, options: &PlanCheckOptions) -> Result<Exit, Failure> {
    let PlanCheckOptions { file, canary, calls_per_second, failure_rate } = options;
    let (text, format) = read(file)?;
    let request = PlanCheckRequest {
        text,
        format,
        canary: canary.clone(),
        calls_per_second: *calls_per_second,
        failure_rate: *failure_rate,
    };
    print(session, file, &session.client.check_plan(&request).await?)
}

/// Prints a check. A plan with faults is an error.
fn print(session: &Session, file: &Path, check: &PlanCheck) -> Result<Exit, Failure> {
    if session.output.is_json() {
        session.output.json(check)?;
    } else {
        print_text(session, file, check)?;
    }
    Ok(if check.faults.is_empty() { Exit::Done } else { Exit::Error })
}

fn print_text(session: &Session, file: &Path, check: &PlanCheck) -> Result<(), Failure> {
    for fault in &check.faults {
        session.output.text(&format!("{}:{}", file.display(), fault_line(fault)))?;
    }
    match &check.forecast {
        Some(forecast) => session.output.sentence(&forecast.text)?,
        None if check.faults.is_empty() => session.output.text(
            "the plan is valid; for a forecast, name --canary or --calls-per-second and \
             --failure-rate",
        )?,
        None => {}
    }
    Ok(())
}

async fn apply(
    session: &Session,
    target: &Target,
    file: &Path,
    how: &How,
) -> Result<Exit, Failure> {
    let name = canary_name::resolve(session, target).await?;
    let (text, format) = read(file)?;
    let latest = match session.latest_event(&name).await {
        Ok(latest) => latest,
        Err(error) => return Err(session.explain(&name, error).await),
    };
    let request = PlanCheckRequest {
        text: text.clone(),
        format,
        canary: Some(name.clone()),
        calls_per_second: None,
        failure_rate: None,
    };
    let check = session.client.check_plan(&request).await?;
    if !check.faults.is_empty() || how.dry_run {
        return print(session, file, &check);
    }
    if !how.yes {
        let forecast = check.forecast.map_or(String::new(), |forecast| forecast.text);
        let effect = format!("{forecast}\nThe plan applies from the next start.");
        confirm(&format!("plan apply {name}"), effect.trim_start())?;
    }
    let request = PlanRequest { text, format, reason: how.reason.clone() };
    let view =
        session.client.replace_plan(&name, &request, how.latest().or(latest).as_ref()).await?;
    if session.output.is_json() {
        session.output.json(&view)?;
    } else {
        session.output.text(&format!("{name}: the new plan applies from the next start"))?;
    }
    Ok(Exit::Done)
}

/// Returns a fault with its place, as compilers print it.
pub(crate) fn fault_line(fault: &PlanFault) -> String {
    let PlanFault { line, column, field, message } = fault;
    let place = if *line == 0 { String::new() } else { format!("{line}:{column}: ") };
    let field = if field.is_empty() || message.contains(field.as_str()) {
        String::new()
    } else {
        format!("{field}: ")
    };
    format!("{place}{field}{message}")
}

/// The schema of canary-rollout. A dependency would bring the judge along.
const SCHEMA: &str = include_str!("../schema/plan.schema.json");

fn read(file: &Path) -> Result<(String, PlanFormat), Failure> {
    let wrong = |reason: String| Failure::error(format!("plan {}: {reason}", file.display()));
    if file.as_os_str() == "-" {
        let text = io::read_to_string(io::stdin()).map_err(|error| wrong(error.to_string()))?;
        let is_json = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
        return Ok((text, if is_json { PlanFormat::Json } else { PlanFormat::Toml }));
    }
    let format = match file.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => PlanFormat::Toml,
        Some("json") => PlanFormat::Json,
        Some("yaml" | "yml") => PlanFormat::Yaml,
        _ => {
            return Err(wrong(
                "expected a file name that ends in .toml, .json or .yaml".to_owned(),
            ));
        }
    };
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    Ok((text, format))
}
