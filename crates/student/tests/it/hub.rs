//! Models of the hub: the layout of the cache, and everything that a hub, a network or an earlier run may do to it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use apprentice_encoder::NetworkOptions;
use apprentice_student::{
    Student,
    hub::{Cache, FetchEvent, HubError, HubSettings, Revision, fetch},
    labels::Labels,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    fake_hub::{At, COMMIT, FakeHub, Model, etag, head, torn},
    server::{Act, Asked, whole},
    student,
};

const NAME: &str = "org/tiny";
const WEIGHTS: &str = "model.safetensors";
const TOKEN: &str = "hf_canary0123456789";

fn model() -> Model {
    let directory = tempfile::tempdir().unwrap();
    student(1, 1).save(directory.path(), "# card\n").unwrap();
    Model::of_directory(NAME, directory.path())
}

/// A model whose files are these.
fn model_of(files: &[(&str, &str)]) -> Model {
    let files = files.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect();
    Model { name: NAME, files }
}

/// A cache that is filled from a hub.
struct Place {
    cache: TempDir,
    settings: HubSettings,
}

impl Place {
    fn new(hub: &FakeHub) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let mut settings = HubSettings::new(cache.path().join("hub"));
        settings.endpoint.clone_from(&hub.hub.url);
        settings.token = Some(TOKEN.into());
        settings.first_wait = Duration::from_millis(1);
        settings.timeout = Duration::from_secs(20);
        Self { cache, settings }
    }

    fn fetch(&self) -> Result<PathBuf, HubError> {
        self.fetch_revision("main")
    }

    fn fetch_revision(&self, revision: &str) -> Result<PathBuf, HubError> {
        fetch(&self.settings, &NAME.parse().unwrap(), &revision.parse().unwrap(), &mut |_| {})
    }

    /// The message of the error that is expected; nothing secret is in it.
    fn fails(&self) -> String {
        let error = self.fetch().unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("canary"), "{text}");
        assert!(self.find().is_err());
        error.to_string()
    }

    fn find(&self) -> Result<PathBuf, HubError> {
        Cache::new(&self.settings.cache).find(&NAME.parse().unwrap(), &Revision::main())
    }

    fn directory(&self) -> PathBuf {
        self.settings.cache.join("models--org--tiny")
    }

    fn blob(&self, model: &Model, file: &str) -> PathBuf {
        self.directory().join("blobs").join(etag(file, &model.files[file]))
    }

    /// Puts the beginning of a content there, as a process that ended would leave it.
    fn leave(&self, model: &Model, content: &[u8]) {
        let path = self.blob(model, WEIGHTS).with_added_extension("incomplete");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut fs::File::create(path).unwrap(), content).unwrap();
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.directory().join(folder)).map(|entries| entries.map(Result::unwrap));
        let mut names: Vec<_> =
            entries.into_iter().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Acts so once, at the first request that fits.
fn once(
    fits: impl Fn(At, &Asked) -> bool + Clone + Send + Sync + 'static,
    act: impl Fn() -> Act + Clone + Send + Sync + 'static,
) -> impl Fn(At, &Asked) -> Option<Act> + Clone + Send + Sync + 'static {
    let left = Arc::new(AtomicUsize::new(1));
    move |at, asked| {
        let now =
            fits(at, asked) && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        now.then(&act)
    }
}

fn is_weights(at: At, asked: &Asked) -> bool {
    at == At::Store && asked.path.ends_with(WEIGHTS)
}

fn is_list(at: At, asked: &Asked) -> bool {
    at == At::Hub && asked.path.contains("/api/models/")
}

fn assert_whole(place: &Place, model: &Model, snapshot: &Path) {
    for file in ["config.json", "tokenizer.json", WEIGHTS] {
        assert!(fs::read(snapshot.join(file)).unwrap() == model.files[file], "{file}");
    }
    assert!(!place.names("blobs").iter().any(|name| name.ends_with(".incomplete")), "{:?}", place.names("blobs"));
}

#[test]
fn the_cache_is_laid_out_as_pythons() {
    let model = model();
    let hub = FakeHub::sound(&model);
    let place = Place::new(&hub);
    let mut events = Vec::new();
    let mut watch = |event: FetchEvent<'_>| events.push(format!("{event:?}"));
    let snapshot = fetch(&place.settings, &NAME.parse().unwrap(), &Revision::main(), &mut watch).unwrap();
    assert_eq!(snapshot, place.directory().join("snapshots").join(COMMIT));
    assert_whole(&place, &model, &snapshot);
    assert_eq!(fs::read_to_string(place.directory().join("refs/main")).unwrap(), COMMIT);
    // What is not needed is not there, and what the model has not is known.
    let needed = ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "vocab.txt"];
    assert_eq!(place.names(&format!("snapshots/{COMMIT}")), needed);
    assert!(model.files.contains_key("README.md"));
    let absent = ["added_tokens.json", "merges.txt", "special_tokens_map.json", "vocab.json"];
    assert_eq!(place.names(&format!(".no_exist/{COMMIT}")), absent);
    #[cfg(unix)]
    {
        let hash = etag(WEIGHTS, &model.files[WEIGHTS]);
        let link = fs::read_link(snapshot.join(WEIGHTS)).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(&hash));
        assert!(place.settings.cache.join(format!(".locks/models--org--tiny/{hash}.lock")).exists());
    }
    let bytes: usize = needed.iter().map(|file| model.files[*file].len()).sum();
    assert!(events.contains(&format!("Planned {{ files: 5, bytes: {bytes} }}")), "{events:?}");
    assert_eq!(events.last(), Some(&format!("Reached {{ bytes: {bytes} }}")));

    // It is found, it can be used, and it is not fetched again.
    assert_eq!(place.find().unwrap(), snapshot);
    Student::from_encoder(&snapshot, Labels::iob2(["LOC"]), 1, &NetworkOptions::default()).unwrap();
    let (asked, stored) = (hub.hub.count(), hub.store.count());
    assert_eq!(place.fetch().unwrap(), snapshot);
    assert_eq!((hub.hub.count(), hub.store.count()), (asked + 1 + needed.len(), stored));
    let again = &hub.hub.asked()[asked..];
    assert!(again[1..].iter().all(|asked| asked.method == "HEAD"), "{again:?}");
    // A commit never changes: nobody is asked.
    assert_eq!(place.fetch_revision(COMMIT).unwrap(), snapshot);
    assert_eq!(hub.hub.count(), asked + 1 + needed.len());
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let hub = FakeHub::sound(&model());
    let place = Place::new(&hub);
    place.fetch().unwrap();
    let authorization = |asked: Asked| asked.headers.get("authorization").cloned();
    let sent: Vec<_> = hub.hub.asked().into_iter().map(authorization).collect();
    assert!(sent.iter().all(|sent| *sent == Some(format!("Bearer {TOKEN}"))), "{sent:?}");
    let stored: Vec<_> = hub.store.asked().into_iter().map(authorization).collect();
    assert_eq!(stored, [None]);
    for entry in walk(place.cache.path()) {
        assert!(!String::from_utf8_lossy(&fs::read(&entry).unwrap()).contains("canary"), "{}", entry.display());
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let inside = |path: PathBuf| if path.is_dir() { walk(&path) } else { vec![path] };
    fs::read_dir(directory).unwrap().flat_map(|entry| inside(entry.unwrap().path())).collect()
}

#[test]
fn other_revisions_stand_beside() {
    let hub = FakeHub::sound(&model());
    let place = Place::new(&hub);
    let snapshot = place.fetch_revision("refs/pr/1").unwrap();
    assert_eq!(fs::read_to_string(place.directory().join("refs/refs/pr/1")).unwrap(), COMMIT);
    assert!(matches!(place.find(), Err(HubError::NotCached { .. })));
    place.fetch().unwrap();
    assert_eq!(hub.store.count(), 1);
    let [cached] = &Cache::new(&place.settings.cache).models().unwrap()[..] else { panic!("one commit, one model") };
    assert_eq!((&*cached.name, &*cached.commit, cached.family.as_deref()), (NAME, COMMIT, Some("bert")));
    assert_eq!((&cached.revisions[..], &cached.path), (&["main".to_owned(), "refs/pr/1".to_owned()][..], &snapshot));
    assert_eq!((cached.weights_bytes, &cached.problem), (fs::metadata(snapshot.join(WEIGHTS)).unwrap().len(), &None));
    let none = place.fetch_revision("v9").unwrap_err().to_string();
    assert_eq!(none, "org/tiny has no revision v9: expected a branch, a tag or a commit of it");
}

#[test]
fn what_is_torn_is_gone_on_with() {
    let model = model();
    let content = model.files[WEIGHTS].clone();
    let hub = FakeHub::start(&model, once(is_weights, move || torn(&content, 1000)));
    let place = Place::new(&hub);
    assert_whole(&place, &model, &place.fetch().unwrap());
    let ranges: Vec<_> = hub.store.asked().iter().map(|asked| asked.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("bytes=1000-".to_owned())]);
}

#[test]
fn an_earlier_process_is_gone_on_with() {
    let model = model();
    let hub = FakeHub::sound(&model);
    let content = &model.files[WEIGHTS];
    let place = Place::new(&hub);
    place.leave(&model, &content[..500]);
    assert_whole(&place, &model, &place.fetch().unwrap());
    let range = |place: usize| hub.store.asked()[place].headers.get("range").cloned();
    assert_eq!(range(0).as_deref(), Some("bytes=500-"));

    // All of it is there.
    let place = Place::new(&hub);
    place.leave(&model, content);
    assert_whole(&place, &model, &place.fetch().unwrap());
    assert_eq!(hub.store.count(), 1);

    // It left something else: what comes behind it cannot be right, and all is fetched.
    let place = Place::new(&hub);
    place.leave(&model, b"something else");
    assert_whole(&place, &model, &place.fetch().unwrap());
    assert_eq!((hub.store.count(), range(1).as_deref(), range(2)), (3, Some("bytes=14-"), None));

    // It left more than there is.
    let place = Place::new(&hub);
    place.leave(&model, &[&content[..], b"more"].concat());
    assert_whole(&place, &model, &place.fetch().unwrap());
    assert_eq!((hub.store.count(), range(3)), (4, None));
}

#[test]
fn servers_that_cannot_go_on_begin_anew() {
    let model = model();
    let content = model.files[WEIGHTS].clone();
    // The first ignores where it is to go on; the others have no such place, or give another.
    let other = |status, range: &'static str| {
        move || Act::Bytes(whole(status, &[("connection", "close"), ("content-range", range)], b"other"))
    };
    let ignoring = once(is_weights, move || Act::Bytes(whole(200, &[("connection", "close")], &content)));
    let hubs = [
        (FakeHub::start(&model, ignoring), 1),
        (FakeHub::start(&model, once(is_weights, other(416, "bytes */9"))), 2),
        (FakeHub::start(&model, once(is_weights, other(206, "bytes 0-4/5"))), 2),
    ];
    for (hub, requests) in hubs {
        let place = Place::new(&hub);
        place.leave(&model, &model.files[WEIGHTS][..500]);
        assert_whole(&place, &model, &place.fetch().unwrap());
        let asked = hub.store.asked();
        assert_eq!((asked.len(), asked[0].headers.get("range").map(String::as_str)), (requests, Some("bytes=500-")));
        assert!(requests == 1 || !asked[1].headers.contains_key("range"));
    }
}

#[test]
fn what_is_not_as_announced_is_not_kept() {
    let model = model();
    let mut wrong = model.files[WEIGHTS].clone();
    wrong[1000] ^= 1;
    let (short, chunked) = (wrong[1..].to_vec(), b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec());
    let block = [b"10000\r\n".to_vec(), vec![b'x'; 1 << 16], b"\r\n".to_vec()].concat();
    let page = b"<html>Please log in</html>".to_vec();
    let reply = |body: Vec<u8>| Act::Bytes(whole(200, &[("connection", "close")], &body));
    for (act, why) in [
        (reply(wrong), "another hash"),
        (reply(short), "the hub says"),
        (reply(page), "the server has 26 bytes"),
        (Act::Endless(chunked, block), "more than the"),
    ] {
        let hub = FakeHub::start(&model, move |at, asked| is_weights(at, asked).then(|| act.clone()));
        let place = Place::new(&hub);
        let error = place.fails();
        assert!(error.starts_with("model.safetensors: ") && error.contains(why), "{error}");
        assert_eq!(hub.store.count(), 1, "{why}");
        assert!(!place.blob(&model, WEIGHTS).exists());
        let left = place.blob(&model, WEIGHTS).with_added_extension("incomplete");
        assert_eq!(fs::metadata(left).map_or(0, |file| file.len()), 0, "{why}");
        assert!(!place.directory().join("refs").exists());
    }
}

#[test]
fn failures_that_pass_are_tried_again() {
    let model = model();
    let busy = |status| move || Act::error(status, "", TOKEN).with("retry-after", "0");
    let reset = || Act::Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec());
    let expired = || Act::error(403, "", "Request has expired");
    let is_head = |at, asked: &Asked| at == At::Hub && asked.method == "HEAD";
    for hub in [
        FakeHub::start(&model, once(is_list, busy(429))),
        FakeHub::start(&model, once(is_list, busy(503))),
        FakeHub::start(&model, once(is_list, reset)),
        FakeHub::start(&model, once(is_head, || head(502, &[]))),
        FakeHub::start(&model, once(is_weights, busy(500))),
        FakeHub::start(&model, once(is_weights, expired)),
    ] {
        let place = Place::new(&hub);
        let mut retries = 0;
        let mut watch = |event: FetchEvent<'_>| {
            retries += usize::from(matches!(event, FetchEvent::Retrying { .. }));
            assert!(!format!("{event:?}").contains("canary"));
        };
        fetch(&place.settings, &NAME.parse().unwrap(), &Revision::main(), &mut watch).unwrap();
        assert_eq!(retries, 1);
    }
}

#[test]
fn a_silent_server_is_left() {
    let model = model();
    let hang = || Act::Hang(Vec::new(), Duration::from_secs(30));
    let hub = FakeHub::start(&model, once(is_list, hang));
    let mut place = Place::new(&hub);
    place.settings.timeout = Duration::from_millis(500);
    place.fetch().unwrap();
    assert_eq!(hub.hub.asked().iter().filter(|asked| is_list(At::Hub, asked)).count(), 2);
}

#[test]
fn failures_that_stay_end_it() {
    let model = model();
    let always = |act: fn() -> Act| FakeHub::start(&model, move |at, asked| is_list(at, asked).then(act));
    let hub = always(|| Act::error(503, "", "no"));
    let error = Place::new(&hub).fails();
    assert!(error.contains("503") && error.contains("after 5 attempts"), "{error}");
    assert_eq!(hub.hub.count(), 5);
    let hub = always(|| Act::error(429, "", "no").with("retry-after", "3600"));
    let error = Place::new(&hub).fails();
    assert!(error.contains("429") && error.contains("wait for 3600 seconds"), "{error}");
    assert_eq!(hub.hub.count(), 1);

    // It is torn again and again, without getting on.
    let content = model.files[WEIGHTS].clone();
    let tear = move |at, asked: &Asked| is_weights(at, asked).then(|| torn(&content, 700));
    let hub = FakeHub::start(&model, tear);
    let place = Place::new(&hub);
    assert!(place.fails().contains("also after 5 attempts"));
    assert_eq!(hub.store.count(), 5);

    let mut place = Place::new(&hub);
    place.settings.endpoint = "http://127.0.0.1:1".into();
    assert!(place.fails().starts_with("127.0.0.1:1: "));
}

#[test]
fn what_the_hub_refuses_comes_with_advice() {
    let model = model();
    for (status, code, with_token, without) in [
        (401, "GatedRepo", "gated: accept its conditions", "set HF_TOKEN"),
        (403, "GatedRepo", "the account of the token that was sent", "set HF_TOKEN"),
        (401, "RepoNotFound", "the token that was sent may be wrong", "for a private model, set HF_TOKEN"),
        (404, "RepoNotFound", "check the name", "check the name"),
        (404, "RevisionNotFound", "has no revision main", "has no revision main"),
        (404, TOKEN, "check the name", "check the name"),
    ] {
        let refuse = move |at, asked: &Asked| {
            is_list(at, asked)
                .then(|| Act::error(status, "", TOKEN).with("x-error-code", code).with("x-error-message", TOKEN))
        };
        let hub = FakeHub::start(&model, refuse);
        let mut place = Place::new(&hub);
        let error = place.fails();
        assert!(error.contains(with_token), "{error}");
        place.settings.token = None;
        let error = place.fails();
        assert!(error.contains(without), "{error}");
        assert_eq!(hub.hub.count(), 2, "nothing is tried again");
    }
}

#[test]
fn what_is_no_hub_is_named() {
    let model = model();
    let list = |sha: &str, file: &str| {
        let body = json!({"sha": sha, "siblings": [{"rfilename": file}, {"rfilename": "config.json"}]});
        Act::Bytes(whole(200, &[("connection", "close")], body.to_string().as_bytes()))
    };
    let page = Act::Bytes(whole(200, &[("connection", "close")], b"<!DOCTYPE html><title>Log in</title>"));
    let endless = Act::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; 1 << 16]);
    let many = json!({"sha": COMMIT, "siblings": vec![json!({"rfilename": "a"}); 50_001]});
    let echo = Act::Bytes(whole(200, &[("connection", "close")], format!(r#"{{"sha": 1, "{TOKEN}": 2}}"#).as_bytes()));
    for (act, why) in [
        (page, "instead of a model's list of files there is a web page"),
        (echo, "there is something else (line 1, column 9)"),
        (endless, "larger than 16 MiB"),
        (Act::json(200, &many), "more than 50000 files"),
        (list("main", "x"), "is no hash"),
        (list("../../../x", "x"), "is no hash"),
        (list(COMMIT, "../../x"), "a file outside the model: \"../../x\""),
        (list(COMMIT, r"C:\x"), "a file outside"),
        (list(COMMIT, &format!("/{TOKEN}")), "a file outside the model: \"/[token]\""),
        (Act::error(418, "", "teapot"), "it answers 418"),
        (head(302, &[("location", "file:///etc/passwd")]), "redirects to no address of the web"),
        (head(302, &[]), "redirects to no address of the web"),
        (head(302, &[("location", "?again")]), "redirects more than 10 times"),
    ] {
        let hub = FakeHub::start(&model, move |at, asked| is_list(at, asked).then(|| act.clone()));
        let place = Place::new(&hub);
        let error = place.fails();
        assert!(error.contains(why) && error.contains("HF_ENDPOINT"), "{error}");
        assert!(hub.hub.count() >= 1 && !place.directory().exists(), "{why}");
    }
}

#[test]
fn contents_that_cannot_be_checked_are_not_fetched() {
    let model = model();
    let other = "f".repeat(40);
    for (headers, why) in [
        (vec![("content-length", "9")], "no hash for config.json"),
        (vec![("etag", "\"../../../x\"")], "no hash for config.json"),
        (vec![("etag", "W/\"0123\"")], "no hash for config.json"),
        (vec![("etag", &*other), ("x-repo-commit", &*other)], "config.json of another commit"),
        (vec![("etag", &*other), ("content-length", "99999999999")], "99999999999 bytes are too many"),
    ] {
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        let fault = move |at, asked: &Asked| {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
            (at == At::Hub && asked.method == "HEAD").then(|| head(200, &headers))
        };
        let hub = FakeHub::start(&model, fault);
        let place = Place::new(&hub);
        let error = place.fails();
        assert!(error.contains(why), "{error}");
        assert_eq!(hub.hub.count(), 2);
        assert!(!place.directory().exists());
    }
}

#[test]
fn a_model_that_moved_is_followed_with_the_token_and_another_host_without() {
    let model = model();
    let moved = once(is_list, || head(307, &[("location", "/v1/api/models/org/tiny/revision/main?moved")]));
    let hub = FakeHub::start(&model, move |at, asked| {
        moved(at, asked).or_else(|| {
            let list = json!({"sha": COMMIT, "siblings": [{"rfilename": "config.json"}]});
            (asked.path.ends_with("?moved")).then(|| Act::json(200, &list))
        })
    });
    assert!(Place::new(&hub).fails().contains("it has no model.safetensors"));
    let asked = hub.hub.asked();
    assert!(asked.len() == 2 && asked[1].path.ends_with("?moved"), "{asked:?}");
    assert!(asked[1].headers.contains_key("authorization"));

    // Files may be elsewhere on the hub, too.
    let (config, tag) = (model.files["config.json"].clone(), etag("config.json", &model.files["config.json"]));
    let hub = FakeHub::start(&model, move |_, asked| {
        let length = config.len().to_string();
        match (&*asked.method, asked.path.ends_with("/config.json"), asked.path.starts_with("/v1/api/resolve-cache/")) {
            ("HEAD", true, true) => Some(head(200, &[("etag", &tag), ("content-length", &length)])),
            ("GET", true, true) => Some(Act::Bytes(whole(200, &[("connection", "close")], &config))),
            (_, true, false) => {
                Some(head(307, &[("location", "/v1/api/resolve-cache/config.json"), ("x-repo-commit", COMMIT)]))
            }
            _ => None,
        }
    });
    let place = Place::new(&hub);
    assert_whole(&place, &model, &place.fetch().unwrap());
    let elsewhere: Vec<_> = hub.hub.asked().into_iter().filter(|asked| asked.path.contains("resolve-cache")).collect();
    assert!(elsewhere.len() == 2 && elsewhere.iter().all(|asked| asked.headers.contains_key("authorization")));

    let target = FakeHub::sound(&model);
    let there = format!("{}/api/models/org/tiny/revision/main", target.hub.url);
    let away = FakeHub::start(&model, once(is_list, move || head(307, &[("location", &there)])));
    Place::new(&away).fetch().unwrap();
    let asked = target.hub.asked();
    assert!(asked.len() == 1 && !asked[0].headers.contains_key("authorization"), "{asked:?}");
}

#[test]
fn pickles_and_other_models_are_refused_before_anything_is_fetched() {
    let config = r#"{"model_type": "bert"}"#;
    for (files, why) in [
        (&[("config.json", config), ("vocab.txt", "a"), ("pytorch_model.bin", "x")][..], "pytorch_model.bin, a pickle"),
        (&[("config.json", config), (WEIGHTS, "x")], "neither tokenizer.json nor vocab.txt"),
        (&[("README.md", "")], "no config.json"),
        (&[("config.json", r#"{"model_type": "t5"}"#), ("vocab.txt", "a"), (WEIGHTS, "x")], "model type `t5`"),
    ] {
        let hub = FakeHub::sound(&model_of(files));
        let error = Place::new(&hub).fails();
        assert_eq!(error.matches(why).count(), 1, "{error}");
        assert!(hub.hub.count() >= 1);
        assert_eq!(hub.store.count(), 0, "{why}");
    }
}

#[test]
fn weights_in_parts() {
    let config = r#"{"model_type": "bert"}"#;
    let parts =
        |second: &str| json!({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": second}}).to_string();
    let files = |index: &str| {
        model_of(&[
            ("config.json", config),
            ("vocab.txt", "a"),
            ("model.safetensors.index.json", index),
            ("model-00001-of-00002.safetensors", "one"),
            ("model-00002-of-00002.safetensors", "two"),
        ])
    };
    let hub = FakeHub::sound(&files(&parts("model-00002-of-00002.safetensors")));
    let place = Place::new(&hub);
    let snapshot = place.fetch().unwrap();
    assert_eq!(fs::read_to_string(snapshot.join("model-00002-of-00002.safetensors")).unwrap(), "two");
    assert_eq!(place.find().unwrap(), snapshot);
    assert!(place.names(&format!(".no_exist/{COMMIT}")).contains(&WEIGHTS.to_owned()));
    fs::remove_file(snapshot.join("model-00002-of-00002.safetensors")).unwrap();
    assert!(place.find().unwrap_err().to_string().contains("it lacks model-00002-of-00002.safetensors"));

    let hub = FakeHub::sound(&files(&parts("../../../x.safetensors")));
    let place = Place::new(&hub);
    assert!(place.fails().contains("../../../x.safetensors"));
    assert_eq!(hub.store.count(), 0);
    // Listed in the index, and not there.
    let hub = FakeHub::sound(&files(&parts("model-00003-of-00003.safetensors")));
    assert!(Place::new(&hub).fails().contains("is not on the hub"));
}

#[test]
fn offline_the_cache_answers_or_nobody() {
    let hub = FakeHub::sound(&model());
    let mut place = Place::new(&hub);
    place.settings.offline = true;
    let error = place.fails();
    assert!(error.contains("is not in the cache") && error.contains("HF_HUB_OFFLINE is set"), "{error}");
    assert_eq!((hub.hub.count(), place.settings.cache.exists()), (0, false));
    (place.settings.offline, place.settings.links) = (false, false);
    let snapshot = place.fetch().unwrap();
    let asked = hub.hub.count();
    place.settings.offline = true;
    assert_eq!(place.fetch().unwrap(), snapshot);
    assert_eq!(hub.hub.count(), asked);
    // A revision that leads out of the cache leads nowhere.
    fs::rename(&snapshot, place.cache.path().join("outside")).unwrap();
    let reference = place.directory().join("refs/main");
    std::io::Write::write_all(&mut fs::File::create(reference).unwrap(), b"../../../outside").unwrap();
    assert!(place.directory().join("snapshots/../../../outside/config.json").exists());
    assert!(place.fails().contains("it was never fetched"));
}

#[test]
fn copies_where_there_are_no_links() {
    let model = model();
    let hub = FakeHub::sound(&model);
    let mut place = Place::new(&hub);
    place.settings.links = false;
    let snapshot = place.fetch().unwrap();
    assert_whole(&place, &model, &snapshot);
    assert!(!fs::symlink_metadata(snapshot.join(WEIGHTS)).unwrap().is_symlink());
    // As Python leaves it there: the copy alone.
    fs::remove_dir_all(place.directory().join("blobs")).unwrap();
    place.fetch().unwrap();
    assert_eq!(hub.store.count(), 1);
}

#[test]
fn a_content_that_was_cut_off_in_the_cache_is_fetched_again() {
    let model = model();
    let hub = FakeHub::sound(&model);
    let place = Place::new(&hub);
    place.fetch().unwrap();
    fs::File::options().write(true).open(place.blob(&model, WEIGHTS)).unwrap().set_len(10).unwrap();
    assert_whole(&place, &model, &place.fetch().unwrap());
    assert_eq!(hub.store.count(), 2);
}

#[test]
fn two_at_once_fetch_a_content_once() {
    let model = model();
    let (waits, waited) = mpsc::channel();
    let waited = Arc::new(Mutex::new(waited));
    let (starts, started) = mpsc::channel();
    // The weights come when the second one is known to wait for them.
    let fault = move |at, asked: &Asked| {
        if is_weights(at, asked) {
            starts.send(()).unwrap();
            waited.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
        }
        None
    };
    let hub = FakeHub::start(&model, fault);
    let place = Place::new(&hub);
    let name = NAME.parse().unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| place.fetch());
        started.recv_timeout(Duration::from_secs(20)).unwrap();
        let mut watch = |event: FetchEvent<'_>| {
            if event == (FetchEvent::Waiting { file: WEIGHTS }) {
                waits.send(()).unwrap();
            }
        };
        let second = fetch(&place.settings, &name, &Revision::main(), &mut watch).unwrap();
        assert_eq!(first.join().unwrap().unwrap(), second);
    });
    assert_eq!(hub.store.count(), 1);
}
