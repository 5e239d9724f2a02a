//! The names of tags that are given as numbers.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde_json::Value;

/// The names in the metadata that `datasets` writes.
///
/// ```json
/// {"info": {"features": {"ner_tags": {"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "List"}}}}
/// ```
pub(super) fn in_metadata(json: &str, column: &str) -> Option<Vec<String>> {
    let metadata: Value = serde_json::from_str(json).ok()?;
    listed(metadata.get("info")?.get("features")?.get(column)?)
}

/// The names in the dataset card, a `README.md` in the folder of the file or the one above; or why there are none.
pub(super) fn in_card(file: &Path, column: &str) -> Result<Vec<String>, String> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let folders = file.ancestors().skip(1).take(2);
    let Some(card) = folders.map(|folder| folder.join("README.md")).find(|card| card.is_file()) else {
        return Err("there is no README.md in its folder or the one above".to_owned());
    };
    let folder = file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy()).unwrap_or_default();
    let text = start_of(&card).map_err(|error| format!("{} cannot be read ({error})", card.display()))?;
    of_card(&text, &folder, column).map_err(|why| format!("{} {why}", card.display()))
}

fn start_of(card: &Path) -> io::Result<String> {
    const LONGEST: u64 = 1 << 22;
    let mut bytes = Vec::new();
    File::open(card)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The names in the front matter of a card: those of the configuration called like the folder, or those in which all
/// configurations agree.
fn of_card(card: &str, folder: &str, column: &str) -> Result<Vec<String>, String> {
    let front = card.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let front = front.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---")).ok_or("has no front matter")?.0;
    let front: Value = serde_saphyr::from_str(front).map_err(|_| "has a front matter that is not YAML")?;
    let info = front.get("dataset_info").ok_or("has no `dataset_info` in its front matter")?;
    let configurations = info.as_array().map_or(std::slice::from_ref(info), Vec::as_slice);
    let mut found: Vec<(&str, Vec<String>)> = Vec::new();
    for configuration in configurations {
        let name = configuration.get("config_name").and_then(Value::as_str).unwrap_or_default();
        let features = configuration.get("features").and_then(Value::as_array).into_iter().flatten();
        let mut columns = features.filter(|feature| feature.get("name").and_then(Value::as_str) == Some(column));
        found.extend(columns.next().and_then(listed).map(|names| (name, names)));
    }
    if let Some(at) = found.iter().position(|(name, _)| *name == folder) {
        return Ok(found.swap_remove(at).1);
    }
    if found.array_windows().any(|[(_, a), (_, b)]| a != b) {
        return Err("has configurations that name the tags differently".to_owned());
    }
    found.pop().map(|(_, names)| names).ok_or_else(|| format!("does not name the tags of `{column}`"))
}

/// The list of names within the description of a feature, however deep: `["O", …]`, or `{"0": "O", …}`.
fn listed(feature: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match feature {
        Value::Object(object) => match object.get("names") {
            Some(Value::Array(names)) => names.iter().map(text).collect(),
            Some(Value::Object(names)) => (0..names.len()).map(|n| text(names.get(&n.to_string())?)).collect(),
            _ => object.values().find_map(listed),
        },
        Value::Array(elements) => elements.iter().find_map(listed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["O", "B-PER", "I-PER"];

    #[test]
    fn metadata_of_all_versions() {
        for wrapped in [
            r#"{"feature": {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}, "_type": "List"}"#,
            r#"{"feature": {"num_classes": 3, "names": ["O", "B-PER", "I-PER"], "id": null, "_type": "ClassLabel"},
                "length": -1, "_type": "Sequence"}"#,
            r#"[{"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}]"#,
        ] {
            let json = format!(r#"{{"info": {{"features": {{"tags": {{"_type": "List"}}, "ner_tags": {wrapped}}}}}}}"#);
            assert_eq!(in_metadata(&json, "ner_tags").unwrap(), NAMES);
            assert_eq!(in_metadata(&json, "tags"), None);
        }
        assert_eq!(in_metadata("{", "ner_tags"), None);
    }

    fn card(configurations: &[(&str, &str)]) -> String {
        let configuration = |(name, names): &(&str, &str)| {
            format!(
                "- config_name: {name}\n  features:\n  - name: tokens\n    sequence: string\n  - name: ner_tags\n    \
                 sequence:\n      class_label:\n        names:\n{names}  splits:\n  - name: train\n    num_bytes: 1\n"
            )
        };
        let configurations: Vec<String> = configurations.iter().map(configuration).collect();
        format!("---\nlicense: mit\ndataset_info:\n{}---\n# A data set\n", configurations.concat())
    }

    #[test]
    fn cards() {
        let per = "          '0': O\n          '1': B-PER\n          '2': I-PER\n";
        let loc = "          0: O\n          2: I-LOC\n          1: B-LOC\n";
        let one = card(&[("default", per)]);
        assert_eq!(of_card(&one, "data", "ner_tags").unwrap(), NAMES);
        assert_eq!(of_card(&one.replace('\n', "\r\n"), "data", "ner_tags").unwrap(), NAMES);
        let single = "---\ndataset_info:\n  features:\n  - name: ner_tags\n    list:\n      class_label:\n        \
                      names: [O, B-PER, I-PER]\n---\n";
        assert_eq!(of_card(single, "", "ner_tags").unwrap(), NAMES);
        let two = card(&[("people", per), ("places", loc)]);
        assert_eq!(of_card(&two, "people", "ner_tags").unwrap(), NAMES);
        assert_eq!(of_card(&two, "places", "ner_tags").unwrap(), ["O", "B-LOC", "I-LOC"]);
        for (card, why) in [
            (two.as_str(), "has configurations that name the tags differently"),
            ("# A data set", "has no front matter"),
            ("---\nlicense: mit\n---\n", "has no `dataset_info` in its front matter"),
            ("---\na: [\n---\n", "has a front matter that is not YAML"),
            (&one.replace("ner_tags", "pos_tags"), "does not name the tags of `ner_tags`"),
            (&one.replace("'1'", "'5'"), "does not name the tags of `ner_tags`"),
        ] {
            assert_eq!(of_card(card, "data", "ner_tags").unwrap_err(), why);
        }
    }
}
