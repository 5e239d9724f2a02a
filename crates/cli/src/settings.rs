//! From flags and a configuration file to the settings of a verb.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

/// The settings that `defaults`, the file at `config` and the flags give together, each overriding the ones before; a
/// flag that was not typed is absent from `flags`.
///
/// # Errors
/// If the file cannot be read or holds unknown keys or values of the wrong kind, or a setting without default is
/// nowhere given; the file is named.
pub fn resolve<T: DeserializeOwned>(
    defaults: &impl Serialize,
    config: Option<&Path>,
    flags: &impl Serialize,
) -> Result<T> {
    let mut table = Table::try_from(defaults)?;
    if let Some(path) = config {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        overlay(&mut table, text.parse().map_err(|error| not_toml(path, &text, &error))?);
    }
    overlay(&mut table, Table::try_from(flags)?);
    table.try_into().with_context(|| match config {
        Some(path) => format!("settings of {} with the flags", path.display()),
        None => "settings (see --help for the flag, or give it in --config FILE.toml)".to_owned(),
    })
}

/// What is wrong with a file of settings, without the line itself: a key may stand there by mistake.
fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    anyhow!("{}, line {line}: not TOML: {}", path.display(), error.message().replace('\n', ", "))
}

/// Puts the values of `over` into `table`, table by table.
fn overlay(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            // A table with a kind is one choice, and its parameters belong to it: it replaces another whole.
            (Some(Value::Table(old)), Value::Table(new)) if !new.contains_key("kind") => overlay(old, new),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_override_the_file_table_by_table() {
        let merged = |file: &str, flags: &str| {
            let mut table: Table = file.parse().unwrap();
            overlay(&mut table, flags.parse().unwrap());
            table.to_string()
        };
        let file =
            "encoder = 'a'\n[training]\nepochs = 3\nseed = 4\n[training.regimen]\nkind = 'sequential'\nswitch = 0.3";
        let flags = "[training]\nepochs = 9\npools = { bbc = { share = 2 } }";
        let expected = "encoder = 'a'\n[training]\nepochs = 9\nseed = 4\npools = { bbc = { share = 2 } }\n\
                        [training.regimen]\nkind = 'sequential'\nswitch = 0.3";
        assert_eq!(merged(file, flags), expected.parse::<Table>().unwrap().to_string());
        // A regimen takes nothing over from another, be it of the same kind.
        for regimen in ["{ kind = 'sequential', restart = false }", "'all'"] {
            let flags = format!("[training]\nregimen = {regimen}");
            let expected = format!("encoder = 'a'\n[training]\nepochs = 3\nseed = 4\nregimen = {regimen}");
            assert_eq!(merged(file, &flags), expected.parse::<Table>().unwrap().to_string());
        }
    }
}
