//! A hub of one model, as Hugging Face's speaks: small files come from the hub itself, weights by way of a redirect to
//! another host. It misbehaves as a test wants.

use std::collections::BTreeMap;

use serde_json::json;
use sha2::Digest as _;

use crate::server::{Act, Asked, Server, whole};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The hub.
    Hub,
    /// Where the weights are.
    Store,
}

pub struct FakeHub {
    pub hub: Server,
    pub store: Server,
}

/// A model's name and files.
#[derive(Clone)]
pub struct Model {
    pub name: &'static str,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Model {
    /// With the files of a directory.
    pub fn of_directory(name: &'static str, directory: &std::path::Path) -> Self {
        let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
        let file = |e: std::fs::DirEntry| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap());
        Self { name, files: entries.map(file).collect() }
    }
}

/// The hash by which the hub names a content.
pub fn etag(file: &str, content: &[u8]) -> String {
    let hash = if is_large(file) {
        sha2::Sha256::digest(content).to_vec()
    } else {
        sha1::Sha1::digest([format!("blob {}\0", content.len()).as_bytes(), content].concat()).to_vec()
    };
    hash.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn is_large(file: &str) -> bool {
    [".safetensors", ".bin"].iter().any(|ending| file.ends_with(ending))
}

/// A reply without content, as to `HEAD`.
pub fn head(status: u16, headers: &[(&str, &str)]) -> Act {
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = headers.concat();
    Act::Bytes(format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n{headers}\r\n").into_bytes())
}

/// The beginning of a content, and then the end of the connection.
pub fn torn(content: &[u8], bytes: usize) -> Act {
    let mut reply = whole(200, &[], content);
    reply.truncate(reply.len() - content.len() + bytes);
    Act::Bytes(reply)
}

impl FakeHub {
    /// Starts it; `fault` may act in its place.
    pub fn start(model: &Model, fault: impl Fn(At, &Asked) -> Option<Act> + Clone + Send + Sync + 'static) -> Self {
        let (files, store_fault) = (model.files.clone(), fault.clone());
        let store = Server::start(move |asked| {
            let content = || &files[asked.path.trim_start_matches("/v1/store/")];
            store_fault(At::Store, asked).unwrap_or_else(|| ranged(asked, content()))
        });
        let (model, elsewhere) = (model.clone(), store.url.clone());
        let hub = Server::start(move |asked| fault(At::Hub, asked).unwrap_or_else(|| hub(&model, &elsewhere, asked)));
        Self { hub, store }
    }

    /// Without faults.
    pub fn sound(model: &Model) -> Self {
        Self::start(model, |_, _| None)
    }
}

fn ranged(asked: &Asked, content: &[u8]) -> Act {
    let from = asked.headers.get("range").map(|range| range["bytes=".len()..range.len() - 1].parse::<usize>().unwrap());
    let (status, rest) = from.map_or((200, content), |from| (206, &content[from..]));
    let act = Act::Reply { status, headers: Vec::new(), body: rest.to_vec() };
    let last = content.len() - 1;
    from.map_or(act.clone(), |from| act.with("content-range", &format!("bytes {from}-{last}/{}", content.len())))
}

fn hub(model: &Model, store: &str, asked: &Asked) -> Act {
    if let Some(revision) = asked.path.strip_prefix(&format!("/v1/api/models/{}/revision/", model.name)) {
        if !["main", "refs%2Fpr%2F1", COMMIT].contains(&revision) {
            return Act::error(404, "", "no revision").with("x-error-code", "RevisionNotFound");
        }
        let siblings: Vec<_> = model.files.keys().map(|file| json!({"rfilename": file})).collect();
        return Act::json(200, &json!({"id": model.name, "sha": COMMIT, "siblings": siblings}));
    }
    let file = asked.path.strip_prefix(&format!("/v1/{}/resolve/{COMMIT}/", model.name));
    let Some((file, content)) = file.and_then(|file| model.files.get_key_value(file)) else {
        return Act::error(401, "", "Invalid username or password.").with("x-error-code", "RepoNotFound");
    };
    let (tag, length) = (format!("\"{}\"", etag(file, content)), content.len().to_string());
    let location = format!("{store}/store/{file}");
    if is_large(file) {
        let linked = [("x-linked-etag", &*tag), ("x-linked-size", &*length), ("etag", "\"pointer\"")];
        return head(302, &[&linked[..], &[("location", &*location), ("x-repo-commit", COMMIT)]].concat());
    }
    if asked.method == "HEAD" {
        return head(200, &[("etag", &tag), ("content-length", &length), ("x-repo-commit", COMMIT)]);
    }
    ranged(asked, content)
}
