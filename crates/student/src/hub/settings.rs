//! Where hub and cache are, as the environment says it to the Python libraries.

use std::{
    ffi::{OsStr, OsString},
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use super::HubError;

/// Where models come from and where they go.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubSettings {
    /// The hub's base URL.
    pub endpoint: String,
    /// Sent to the endpoint's host, and to no other.
    pub token: Option<String>,
    /// Read for a token, where there is none yet, before the network is used.
    pub token_file: Option<PathBuf>,
    /// The directory of the cache.
    pub cache: PathBuf,
    /// Whether the network must not be used.
    pub offline: bool,
    /// Whether snapshots are made of links; else, and where links cannot be made, of copies.
    pub links: bool,
    /// How long a server may be silent.
    pub timeout: Duration,
    /// The wait before the second attempt; it doubles with each further one.
    pub first_wait: Duration,
}

impl HubSettings {
    /// The hub of Hugging Face without a token, and this cache.
    #[must_use]
    pub fn new(cache: PathBuf) -> Self {
        Self {
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            token_file: None,
            cache,
            offline: false,
            links: true,
            timeout: Duration::from_secs(30),
            first_wait: Duration::from_millis(500),
        }
    }

    /// By environment variables, as `variable` gives them, with the meaning and the precedence that they have in Python's
    /// `huggingface_hub`: `HF_ENDPOINT`; `HF_HUB_CACHE`, or else `hub` in `HF_HOME`, or else in `huggingface` in
    /// `XDG_CACHE_HOME` or `~/.cache`; `HF_TOKEN`, or else the file `HF_TOKEN_PATH`, by default `token` in `HF_HOME`,
    /// neither with `HF_HUB_DISABLE_IMPLICIT_TOKEN`; `HF_HUB_OFFLINE`, or else `TRANSFORMERS_OFFLINE`;
    /// `HF_HUB_DISABLE_SYMLINKS`;
    /// `HF_HUB_DOWNLOAD_TIMEOUT` in seconds.
    ///
    /// # Errors
    /// [`HubError::NoHome`], or [`HubError::Setting`] for a value without meaning.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, HubError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name| set(name).and_then(|value| value.into_string().ok());
        let on = |name| text(name).is_some_and(|t| ["1", "ON", "YES", "TRUE"].contains(&&*t.to_uppercase()));
        let user = home_directory(&variable);
        let path = |name| set(name).map(|value| expanded(&value, user.as_deref()));
        let home = path("HF_HOME").or_else(|| Some(user_cache(&variable)?.join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| Some(home.as_ref()?.join("hub"))).ok_or(HubError::NoHome)?;
        let mut settings = Self::new(cache);
        if let Some(endpoint) = text("HF_ENDPOINT") {
            settings.endpoint = endpoint;
        }
        if !on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            settings.token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).and_then(|t| clean(&t));
            settings.token_file = path("HF_TOKEN_PATH").or_else(|| Some(home?.join("token")));
        }
        settings.offline = on(if set("HF_HUB_OFFLINE").is_some() { "HF_HUB_OFFLINE" } else { "TRANSFORMERS_OFFLINE" });
        settings.links = !on("HF_HUB_DISABLE_SYMLINKS");
        if let Some(seconds) = text("HF_HUB_DOWNLOAD_TIMEOUT") {
            let read = seconds.trim().parse().ok().filter(|s| (1..=86_400).contains(s));
            let wrong = || format!("{seconds:?}: expected seconds from 1 to 86400");
            let read = read.ok_or_else(|| HubError::Setting { variable: "HF_HUB_DOWNLOAD_TIMEOUT", problem: wrong() });
            settings.timeout = Duration::from_secs(read?);
        }
        Ok(settings)
    }

    /// The token, from the file if need be.
    pub(super) fn token(&self) -> Result<Option<String>, HubError> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(path)) => match fs::read_to_string(path) {
                Ok(text) => Ok(clean(&text)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
                Err(error) => Err(HubError::io(path)(error)),
            },
            (None, None) => Ok(None),
        }
    }
}

/// Without the token.
impl fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        let Self { endpoint, cache, offline, .. } = self;
        write!(
            f,
            "HubSettings {{ endpoint: {endpoint:?}, token: {token:?}, cache: {cache:?}, offline: {offline}, .. }}"
        )
    }
}

fn clean(token: &str) -> Option<String> {
    let token: String = token.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Where programs of this user keep what they can make again, by environment variables: `XDG_CACHE_HOME`, or `~/.cache`.
pub fn user_cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let user = home_directory(&variable);
    let set = variable("XDG_CACHE_HOME").filter(|value| !value.is_empty());
    set.map(|value| expanded(&value, user.as_deref())).or_else(|| Some(user?.join(".cache")))
}

fn home_directory(variable: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    variable(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// With the user's directory for a `~` at the beginning.
fn expanded(path: &OsStr, user: Option<&Path>) -> PathBuf {
    match (Path::new(path).strip_prefix("~"), user) {
        (Ok(rest), Some(user)) => user.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<HubSettings, HubError> {
        HubSettings::from_variables(|name| Some(variables.iter().find(|(known, _)| *known == name)?.1.into()))
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        for (variables, cache) in [
            (&[("HOME", "/u")][..], "/u/.cache/huggingface/hub"),
            (&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/h")], "/u/h/hub"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HF_HOME", ""), ("HOME", "/u")], "/u/.cache/huggingface/hub"),
        ] {
            assert_eq!(read(variables).unwrap().cache, Path::new(cache), "{variables:?}");
        }
        assert!(matches!(read(&[]), Err(HubError::NoHome)));
        assert!(matches!(read(&[("HOME", "/"), ("HF_HUB_DOWNLOAD_TIMEOUT", "0")]), Err(HubError::Setting { .. })));
    }

    #[test]
    fn the_token_is_cleaned_and_never_shown() {
        let settings = read(&[("HF_HOME", "/h"), ("HF_TOKEN", " hf_canary\n")]).unwrap();
        assert_eq!(settings.token().unwrap().as_deref(), Some("hf_canary"));
        assert!(!format!("{settings:?}").contains("canary"));
        assert_eq!(read(&[("HF_HOME", "/h")]).unwrap().token_file.as_deref(), Some(Path::new("/h/token")));
        let without = read(&[("HF_HOME", "/h"), ("HF_TOKEN", "x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).unwrap();
        assert_eq!(without.token().unwrap(), None);

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let settings = HubSettings { token_file: Some(file.clone()), ..HubSettings::new("/h".into()) };
        assert_eq!(settings.token().unwrap(), None);
        std::io::Write::write_all(&mut fs::File::create(file).unwrap(), b"hf_filed\n").unwrap();
        assert_eq!(settings.token().unwrap().as_deref(), Some("hf_filed"));
    }

    #[test]
    fn what_counts_as_offline() {
        for (value, offline) in [("1", true), ("true", true), ("Yes", true), ("0", false), ("", false), ("no", false)] {
            assert_eq!(read(&[("HOME", "/u"), ("HF_HUB_OFFLINE", value)]).unwrap().offline, offline, "{value}");
        }
    }
}
