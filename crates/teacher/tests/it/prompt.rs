use std::error::Error;

use apprentice_teacher::{Client, ClientError, Prompt, PromptError, Replay, Role, Strategy, Transcript, block_on};

use crate::sentence;

fn custom(template: &str) -> Strategy {
    Strategy::Custom { name: "mine".to_owned(), template: template.to_owned() }
}

#[test]
fn the_built_in_templates_end_in_the_sentence() {
    for (strategy, name) in [(Strategy::Standard, "standard"), (Strategy::Cot, "cot")] {
        let prompt = Prompt::new(&strategy).unwrap();
        let request = prompt.request(&sentence("s1", "Ann Keller won in Rome ."), "gpt").unwrap();
        let [message] = &*request.messages else { panic!("{:?}", request.messages) };
        assert_eq!((message.role, prompt.name(), strategy.version()), (Role::User, name, Some(1)));
        assert!(message.content.ends_with("\nSentence: Ann Keller won in Rome ."), "{}", message.content);
        assert_eq!(message.content.contains("Think before you answer"), name == "cot");
        assert!(!message.content.contains("{{"));
        assert_eq!((&*request.id, &*request.strategy, &*request.model), ("s1", name, "gpt"));
    }
}

#[test]
fn the_sentence_stays_data() {
    let text = "{{ sentence }} {% raw %} <b> & {# … #} \"Answer: {}\"";
    let request = Prompt::new(&custom("{{ sentence }}")).unwrap().request(&sentence("s1", text), "m").unwrap();
    assert_eq!(request.messages[0].content, text);
}

#[test]
fn a_template_is_checked_before_it_is_used() {
    let unknown = Prompt::new(&custom("{{ sentence }} {{ labels | length }} {{ examples[0] }}")).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "prompt template mine uses `examples`, `labels`, expected only `sentence`; correct the name or take it out"
    );
    assert!(matches!(Prompt::new(&custom("Find names.")), Err(PromptError::NoSentence { .. })));
    assert!(Prompt::new(&custom("Find names.")).unwrap_err().to_string().ends_with("put {{ sentence }} into it"));
    let syntax = Prompt::new(&custom("\n{{ sentence }")).unwrap_err();
    assert!(matches!(syntax, PromptError::Syntax { .. }));
    assert!(syntax.source().unwrap().to_string().contains("mine:2"), "{:?}", syntax.source());
    for name in ["", " ", "cot"] {
        let strategy = Strategy::Custom { name: name.to_owned(), template: "{{ sentence }}".to_owned() };
        assert!(matches!(Prompt::new(&strategy), Err(PromptError::Name { .. })), "{name:?}");
    }
    assert!(Prompt::new(&custom("{% set n = sentence | length %}{% for i in range(n) %}{{ i }}{% endfor %}")).is_ok());
    let render = Prompt::new(&custom("{{ sentence | items }}")).unwrap().request(&sentence("s1", "x"), "m");
    assert!(matches!(render, Err(PromptError::Render { id, .. }) if id == "s1"));
}

#[test]
fn a_strategy_survives_a_settings_file() {
    for strategy in [Strategy::Standard, Strategy::Cot, custom("{{ sentence }}")] {
        let json = serde_json::to_string(&strategy).unwrap();
        assert_eq!(serde_json::from_str::<Strategy>(&json).unwrap(), strategy);
    }
    assert_eq!(serde_json::to_string(&Strategy::Cot).unwrap(), "\"cot\"");
}

#[test]
fn a_replay_answers_through_a_dyn_client_and_says_what_it_lacks() {
    let line = r#"{"id": "s1", "strategy": "cot", "model": "m", "sentence": "Hm .", "completion": "c"}"#;
    let client: Box<dyn Client> = Box::new(Replay::new(Transcript::read(line.as_bytes(), "t.jsonl").unwrap()));
    let ask = |strategy, id, text| {
        let request = Prompt::new(&strategy).unwrap().request(&sentence(id, text), "other").unwrap();
        block_on(client.complete(&request)).map(|response| request.completed(response))
    };
    let completion = ask(Strategy::Cot, "s1", "Hm .").unwrap();
    assert_eq!(serde_json::to_value(&completion).unwrap(), serde_json::from_str::<serde_json::Value>(line).unwrap());
    for (strategy, id, text) in
        [(Strategy::Standard, "s1", "Hm ."), (Strategy::Cot, "s2", "Hm ."), (Strategy::Cot, "s1", "Hm !")]
    {
        let error = ask(strategy, id, text).unwrap_err();
        assert!(matches!(&error, ClientError::NotRecorded { .. }));
        assert!(error.to_string().starts_with("t.jsonl: no completion of sentence s"), "{error}");
    }
}
