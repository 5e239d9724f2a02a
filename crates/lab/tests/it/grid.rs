//! From files to grids.

use apprentice_lab::{Experiment, Run};

const MIXING: &str = r#"
name = "mixing"
title = "?"
seeds = [1, 2, 3]
control = { regimen = "original-only" }
axes = [
    { setting = "regimen", values = ["original-only", "distilled-only", { kind = "blend", curve = "power", g = 3 }] },
    { setting = "distilled", values = ["a", ["a", "b"]] },
    { setting = "learning_rate", values = [1e-4, 2e-4] },
]
[run]
encoder = "scratch:1x8x2"
original = "people"
test = "test"
[data]
people = {}
a = {}
b = {}
test = {}
"#;

fn names(text: &str) -> Vec<String> {
    let experiment = Experiment::parse(text, "x.toml").unwrap();
    experiment.systems().unwrap().into_iter().map(|system| system.name).collect()
}

fn error(text: &str) -> String {
    Experiment::parse(text, "x.toml").and_then(|experiment| experiment.systems()).unwrap_err().to_string()
}

#[test]
fn axes_multiply_and_what_has_no_effect_is_left_out() {
    let expected = [
        "original-only, learning_rate 0.0001",
        "original-only, learning_rate 0.0002",
        "distilled-only, a, learning_rate 0.0001",
        "distilled-only, a, learning_rate 0.0002",
        "distilled-only, a+b, learning_rate 0.0001",
        "distilled-only, a+b, learning_rate 0.0002",
        "blend:power,g=3, a, learning_rate 0.0001",
        "blend:power,g=3, a, learning_rate 0.0002",
        "blend:power,g=3, a+b, learning_rate 0.0001",
        "blend:power,g=3, a+b, learning_rate 0.0002",
    ];
    assert_eq!(names(MIXING), expected);
}

#[test]
fn a_control_differs_in_nothing_else() {
    let experiment = Experiment::parse(MIXING, "x.toml").unwrap();
    let systems = experiment.systems().unwrap();
    let control = |name: &str| {
        let at = systems.iter().position(|system| system.name == name).unwrap();
        systems[experiment.changed(&systems, at, &experiment.control).unwrap().unwrap()].name.clone()
    };
    for (system, expected) in [
        ("distilled-only, a+b, learning_rate 0.0002", "original-only, learning_rate 0.0002"),
        ("blend:power,g=3, a, learning_rate 0.0001", "original-only, learning_rate 0.0001"),
        ("original-only, learning_rate 0.0002", "original-only, learning_rate 0.0002"),
    ] {
        assert_eq!(control(system), expected);
    }
    let elsewhere = "learning_rate = 1.0".parse().unwrap();
    assert_eq!(experiment.changed(&systems, 0, &elsewhere).unwrap(), None);
}

#[test]
fn cases_have_names_and_multiply_with_axes() {
    let text = r#"
        name = "cases"
        title = "?"
        seeds = [1]
        run = { encoder = "e", original = "people", test = "test" }
        axes = [{ setting = "epochs", values = [1, 2] }]
        cases = [{ name = "plain" }, { name = "CRF", head = "crf" }]
        data = { people = {}, test = {} }
    "#;
    assert_eq!(names(text), ["plain, epochs 1", "plain, epochs 2", "CRF, epochs 1", "CRF, epochs 2"]);
    assert!(error(&text.replace("{ name = \"plain\" }", "{ head = \"crf\" }")).contains("a case has no `name`"));
    let twice = text.replace("name = \"plain\"", "name = \"CRF\"");
    assert!(error(&twice).contains("two systems are called `CRF, epochs 1`"), "{}", error(&twice));
}

#[test]
fn presets_are_sound() {
    for preset in Experiment::PRESETS {
        let experiment = Experiment::read(preset.as_ref()).unwrap();
        assert_eq!(experiment.name, preset);
        let systems = experiment.systems().unwrap();
        assert!(systems.len() >= 5);
        // Every system but the controls has one.
        for at in 0..systems.len() {
            let control = experiment.changed(&systems, at, &experiment.control).unwrap();
            assert!(control.is_some(), "{preset}: {} has no control", systems[at].name);
        }
    }
}

#[test]
fn a_run_is_what_decides_about_it() {
    let experiment = Experiment::parse(MIXING, "x.toml").unwrap();
    let settings = experiment.systems().unwrap().remove(2).settings;
    let inputs =
        |test: &str| [("scratch:1x8x2", "e"), ("a", "1"), ("test", test)].map(|(a, b)| (a.into(), b.into())).into();
    let labels = || vec!["PER".to_owned()];
    let run = Run::new(settings.clone(), inputs("2"), labels());
    assert_eq!(run, Run::new(settings.clone(), inputs("2"), labels()));
    assert_ne!(run.id, Run::new(settings.clone(), inputs("3"), labels()).id);
    assert_ne!(run.id, Run::new(settings.clone(), inputs("2"), vec![]).id);
    let mut other = settings.clone();
    other.training.insert("seed".to_owned(), 4.into());
    assert_ne!(run.id, Run::new(other, inputs("2"), labels()).id);
    // Another name of the same data.
    let mut renamed = settings;
    renamed.distilled[0].name = "z".to_owned();
    let mut its_inputs = run.inputs.clone();
    its_inputs.insert("z".to_owned(), "1".to_owned());
    assert_eq!(run.id, Run::new(renamed, its_inputs, labels()).id);
}
