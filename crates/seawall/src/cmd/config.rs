//! `seawall config check|show|explain`.

use std::process::ExitCode;

use serde_json::json;
use toml::{Table, Value};

use crate::cli::ConfigSource;
use crate::config::{self, Config};
use crate::exit::Failure;

pub(crate) fn check(source: &ConfigSource, json: bool) -> Result<ExitCode, Failure> {
    let checked = Config::load(source.file.as_deref(), &source.set);
    if !json {
        for warning in &checked?.warnings {
            println!("{warning}");
        }
        println!("the configuration is good");
        return Ok(ExitCode::SUCCESS);
    }
    let (problems, warnings) = match checked {
        Ok(config) => (Vec::new(), config.warnings),
        Err(Failure::Config(problems)) => (problems, Vec::new()),
        Err(other) => return Err(other),
    };
    println!("{}", json!({ "good": problems.is_empty(), "problems": problems, "warnings": warnings }));
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { Failure::Config(problems).code() })
}

pub(crate) fn show(source: &ConfigSource, json: bool) -> Result<ExitCode, Failure> {
    let config = Config::load(source.file.as_deref(), &source.set)?;
    if json {
        println!("{}", json!(config));
    } else {
        print!("{}", table_text(&config)?);
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn explain(key: &str, source: &ConfigSource, json: bool) -> Result<ExitCode, Failure> {
    let now = table(&Config::load(source.file.as_deref(), &source.set)?)?;
    let default = table(&Config::default())?;
    let (Some(value), Some(default)) = (look_up(&now, key), look_up(&default, key)) else {
        return Err(Failure::Usage(format!("there is no key {key}; `seawall config show` lists them all")));
    };
    let meaning = config::comment(key).unwrap_or_default();
    if json {
        println!("{}", json!({"key": key, "meaning": meaning, "default": default, "value": value}));
    } else {
        println!("{key}: {meaning}\n  default {default}\n  now     {value}");
    }
    Ok(ExitCode::SUCCESS)
}

fn table_text(config: &Config) -> Result<String, Failure> {
    toml::to_string(config)
        .map_err(|e| Failure::Internal(format!("the configuration cannot be printed: {e}")))
}

fn table(config: &Config) -> Result<Table, Failure> {
    table_text(config)?
        .parse()
        .map_err(|e| Failure::Internal(format!("the configuration cannot be read back: {e}")))
}

fn look_up<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    let value = table.get(first)?;
    if rest.is_empty() { Some(value) } else { look_up(value.as_table()?, rest) }
}
