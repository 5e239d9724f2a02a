//! `models`: from a hub to a trained student.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    SMALL,
    fake_hub::{COMMIT, FakeHub, Model},
    succeeds, write,
};

/// What a run of the program gave.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A directory with `o.conll` and `HF_HOME`, and a hub.
struct Place {
    directory: TempDir,
    hub: FakeHub,
}

impl Place {
    /// With a model of random weights on the hub.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write(&directory, "o.conll", &format!("{SMALL}\n").repeat(5));
        let train = "-q train --encoder scratch:1x8x2 --original o.conll --epochs 1 -o run";
        succeeds(directory.path(), &train.split(' ').collect::<Vec<_>>());
        let model = Model::of_directory("org/tiny", &directory.path().join("run/model"));
        Self { directory, hub: FakeHub::sound(&model) }
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, arguments: &str, variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apprentice"));
        command.current_dir(self.at()).args(arguments.split(' '));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HF_")) {
            command.env_remove(name);
        }
        command.env("HF_HOME", self.at().join("home")).env("HF_ENDPOINT", &self.hub.hub.url);
        command.env("HF_TOKEN", "hf_canary").envs(variables.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("canary"), "{}", ran.stderr);
        ran
    }

    /// Runs it and expects one error and nothing else.
    fn fails(&self, arguments: &str, variables: &[(&str, &str)]) -> String {
        let ran = self.run(arguments, variables);
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        ran.stderr
    }
}

#[test]
fn a_model_is_fetched_listed_and_trained_on() {
    let place = Place::new();
    let train = "-q train --encoder org/tiny --original o.conll --epochs 1 -o student";
    let error = place.fails(train, &[]);
    assert!(error.contains("not in the cache") && error.contains("`apprentice models fetch org/tiny`"), "{error}");
    let nothing = place.run("models list", &[]);
    assert!(nothing.stdout.is_empty() && nothing.stderr.contains("models fetch NAME"), "{}", nothing.stderr);
    assert_eq!((place.hub.hub.count(), place.at().join("home").exists()), (0, false));

    let fetched = place.run("models fetch org/tiny", &[]);
    let snapshot = place.at().join("home/hub/models--org--tiny/snapshots").join(COMMIT);
    assert_eq!((fetched.code, fetched.stdout), (Some(0), format!("{}\n", snapshot.display())), "{}", fetched.stderr);
    let asked = place.hub.hub.asked();
    assert!(asked.iter().all(|asked| asked.headers["authorization"] == "Bearer hf_canary"));

    // From here on nobody is asked.
    let trained = place.run(train, &[]);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    let settings = fs::read_to_string(place.at().join("student/settings.toml")).unwrap();
    assert!(settings.contains("encoder = \"org/tiny\""), "{settings}");
    let listed = place.run("models list", &[]).stdout;
    assert!(listed.contains("org/tiny") && listed.contains("main") && listed.contains("bert"), "{listed}");
    let json: Value = serde_json::from_str(&place.run("models list --json", &[]).stdout).unwrap();
    let bytes = fs::metadata(snapshot.join("model.safetensors")).unwrap().len();
    assert_eq!((&json[0]["name"], &json[0]["weights_bytes"]), (&"org/tiny".into(), &bytes.into()));
    assert_eq!((&json[0]["problem"], &json[0]["commit"]), (&Value::Null, &COMMIT.into()));
    let offline = place.run("models fetch org/tiny", &[("HF_HUB_OFFLINE", "1")]);
    assert_eq!(offline.stdout, format!("{}\n", snapshot.display()), "{}", offline.stderr);
    assert_eq!(place.hub.hub.count(), asked.len());

    // A model that cannot be used is named.
    fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    write(&place.directory, "pickle", "x");
    fs::rename(place.at().join("pickle"), snapshot.join("pytorch_model.bin")).unwrap();
    let left = place.run("models list", &[]);
    assert!(left.stdout.is_empty() && left.stderr.contains("pytorch_model.bin, a pickle"), "{}", left.stderr);
    let error = place.fails(&train.replace("student", "other"), &[]);
    assert!(error.contains("a pickle, which is never opened"), "{error}");
}

#[test]
fn what_cannot_be_fetched_is_one_line() {
    let place = Place::new();
    let offline = place.fails("models fetch org/tiny", &[("HF_HUB_OFFLINE", "1")]);
    assert!(offline.contains("HF_HUB_OFFLINE is set"), "{offline}");
    assert_eq!(place.hub.hub.count(), 0);
    assert!(place.fails("models fetch org/other", &[]).contains("org/other is not on the hub, or is private"));
    assert!(place.fails("models fetch org/tiny --revision v9", &[]).contains("no revision v9"));
    let asked = place.hub.hub.count();
    assert!(asked > 0);
    assert!(place.fails("models fetch org/tiny", &[("HF_ENDPOINT", "nowhere")]).contains("HF_ENDPOINT"));

    // Names that are none are refused before anybody is asked and before any file is touched.
    let home = place.at().join("home");
    fs::remove_dir_all(&home).ok();
    for name in ["../../x", "/etc/passwd", r"C:\x", r"..\x", "a/b/c", "a--b"] {
        let refused = place.run(&format!("models fetch {name}"), &[]);
        assert_eq!((refused.code, &*refused.stdout), (Some(2), ""), "{}", refused.stderr);
        assert!(refused.stderr.contains("is no model's name"), "{}", refused.stderr);
        let error = place.fails(&format!("-q train --encoder {name} --original o.conll -o x"), &[]);
        assert!(error.contains("no such directory") && error.contains("is no model's name"), "{error}");
    }
    let refused = place.run("models fetch org/tiny --revision ../x", &[]);
    assert!(refused.code == Some(2) && refused.stderr.contains("is no revision"), "{}", refused.stderr);
    assert_eq!((place.hub.hub.count(), home.exists()), (asked, false));
}
