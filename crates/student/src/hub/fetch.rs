//! A model's files from the hub into the cache.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use apprentice_encoder::{EncoderConfig, EncoderError};
use tokio::runtime;

use super::{
    Cache, HubError, HubSettings, ModelName, Revision,
    needed::{self, CONFIG, INDEX, Needed},
    remote::{Content, Failure, Remote, RemoteFile},
    repository::{Repository, contents_if_there, make_parent},
};

/// The largest files that are fetched, in bytes: what is not weights, and weights.
const LARGEST_SMALL: u64 = 64 << 20;
const LARGEST_WEIGHTS: u64 = 64 << 30;
/// An attempt that brings as many bytes got on, and those before it are forgotten.
const ENOUGH: u64 = 1 << 20;

/// What happens while a model is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent<'a> {
    /// What will be there in the end.
    Planned {
        /// Files.
        files: usize,
        /// Their size together, as far as it is known.
        bytes: u64,
    },
    /// What is there so far.
    Reached {
        /// Bytes of all files together; fewer than before where something had to be begun anew.
        bytes: u64,
    },
    /// Another process fetches the same file, and is waited for.
    Waiting {
        /// The file.
        file: &'a str,
    },
    /// Something went wrong and is tried again.
    Retrying {
        /// What it was.
        problem: &'a str,
        /// How long is waited before.
        wait: Duration,
    },
}

/// Puts a model into the cache, as far as it is not there, and gives its directory. Contents that an earlier call did not
/// finish are gone on with.
///
/// What cannot be an encoder is refused before its weights are fetched. A whole commit that is in the cache is answered
/// from there, and so is everything when [`HubSettings::offline`] is set.
///
/// It waits for the network, and must not be called from asynchronous code.
///
/// # Errors
/// [`HubError`]; the cache then has whole files, and parts in names of their own, but the revision stands where it was.
pub fn fetch(
    settings: &HubSettings,
    name: &ModelName,
    revision: &Revision,
    watch: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<PathBuf, HubError> {
    if settings.offline || revision.is_commit() {
        match Cache::new(&settings.cache).find(name, revision) {
            Err(HubError::NotCached { .. }) if !settings.offline => {}
            Err(HubError::NotCached { name, revision, cache, lacks, .. }) => {
                return Err(HubError::NotCached { name, revision, cache, lacks, offline: true });
            }
            found => return found,
        }
    }
    let repository = Repository::new(&settings.cache, name);
    let remote = Remote::new(settings, name, revision)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(HubError::io("the network"))?;
    runtime.block_on(Fetch { settings, name, revision, repository, remote, reached: 0, watch }.run())
}

struct Fetch<'a> {
    settings: &'a HubSettings,
    name: &'a ModelName,
    revision: &'a Revision,
    repository: Repository,
    remote: Remote<'a>,
    /// Bytes of the files that are done.
    reached: u64,
    watch: &'a mut dyn FnMut(FetchEvent<'_>),
}

impl Fetch<'_> {
    async fn run(mut self) -> Result<PathBuf, HubError> {
        let mut patience = self.remote.patience();
        let listing = loop {
            match self.remote.listing().await {
                Ok(listing) => break listing,
                Err(failure) => patience.bear(failure, self.watch).await?,
            }
        };
        let commit = &listing.commit;
        let needed = Needed::of(self.name, &listing.files)?;
        let mut files = Vec::new();
        for file in &needed.files {
            files.push(self.ask(commit, file).await?);
        }
        self.check_config(commit, &files).await?;
        if let Some(index) = files.iter().find(|file| file.name == INDEX) {
            for part in self.parts(commit, index).await? {
                files.push(self.ask(commit, &part).await?);
            }
        }
        let bytes = files.iter().filter_map(|file| file.size).sum();
        (self.watch)(FetchEvent::Planned { files: files.len(), bytes });
        for file in &files {
            self.obtain(commit, file).await?;
        }
        for file in needed.absent {
            self.repository.set_absent(commit, file)?;
        }
        // Last, so that a revision is never at a commit of which files are missing.
        if !self.revision.is_commit() {
            self.repository.set_commit(self.revision, commit)?;
        }
        Ok(self.repository.snapshot(commit))
    }

    async fn ask(&mut self, commit: &str, name: &str) -> Result<RemoteFile, HubError> {
        let mut patience = self.remote.patience();
        let file = loop {
            match self.remote.file(commit, name).await {
                Ok(file) => break file,
                Err(failure) => patience.bear(failure, self.watch).await?,
            }
        };
        match file.size {
            Some(size) if size > limit(&file) => {
                Err(corrupt(&file, format!("{size} bytes are too many for such a file")))
            }
            _ => Ok(file),
        }
    }

    /// Looks at the config before anything large is fetched.
    async fn check_config(&mut self, commit: &str, files: &[RemoteFile]) -> Result<(), HubError> {
        let config = files.iter().find(|file| file.name == CONFIG).expect("it is needed: this is a bug");
        self.obtain_early(commit, config).await?;
        let path = self.repository.snapshot(commit).join(CONFIG);
        let unusable = |error: EncoderError| HubError::Unusable { name: self.name.clone(), problem: error.to_string() };
        EncoderConfig::read(&path).map(drop).map_err(unusable)
    }

    /// The files that hold the weights, by their index.
    async fn parts(&mut self, commit: &str, index: &RemoteFile) -> Result<Vec<String>, HubError> {
        self.obtain_early(commit, index).await?;
        let content = contents_if_there(&self.repository.snapshot(commit).join(INDEX), LARGEST_SMALL)?;
        let parts = needed::parts(&content.unwrap_or_default());
        let unusable = |problem| HubError::Unusable { name: self.name.clone(), problem: format!("{INDEX}: {problem}") };
        Ok(parts.map_err(unusable)?.into_iter().collect())
    }

    /// A file that decides what else is fetched. It counts when its turn comes.
    async fn obtain_early(&mut self, commit: &str, file: &RemoteFile) -> Result<(), HubError> {
        self.obtain(commit, file).await?;
        self.reached = 0;
        Ok(())
    }

    /// Sees to it that a file is in the commit's directory. What is there needs no lock: the cache may be one that can
    /// only be read, or have been filled where there are no links.
    async fn obtain(&mut self, commit: &str, file: &RemoteFile) -> Result<(), HubError> {
        if !self.repository.shows(commit, &file.name, file.size) {
            let waiting = || (self.watch)(FetchEvent::Waiting { file: &file.name });
            let _lock = self.repository.lock(&file.digest, waiting)?;
            if !self.repository.has(&file.digest, file.size) {
                self.download(commit, file).await?;
            }
            self.repository.show(&file.digest, commit, &file.name, self.settings.links)?;
        }
        let path = self.repository.snapshot(commit).join(&file.name);
        self.reached += fs::metadata(&path).map_err(HubError::io(&path))?.len();
        (self.watch)(FetchEvent::Reached { bytes: self.reached });
        Ok(())
    }

    /// Fetches a content, checks it and gives it its name.
    async fn download(&mut self, commit: &str, file: &RemoteFile) -> Result<(), HubError> {
        let (blob, incomplete) = (self.repository.blob(&file.digest), self.repository.incomplete(&file.digest));
        make_parent(&blob)?;
        let mut patience = self.remote.patience();
        let mut begun_anew = false;
        loop {
            let is_continued = match self.receive(commit, file, &incomplete).await {
                Ok(is_continued) => is_continued,
                Err(failure) => {
                    patience.bear(failure, self.watch).await?;
                    continue;
                }
            };
            if file.digest.is_of(&incomplete).map_err(HubError::io(&incomplete))? {
                return fs::rename(&incomplete, &blob).map_err(HubError::io(blob));
            }
            fs::remove_file(&incomplete).map_err(HubError::io(&incomplete))?;
            // What was there before may have been wrong.
            if begun_anew || !is_continued {
                return Err(corrupt(file, "the content has another hash than the hub says (ETag)"));
            }
            begun_anew = true;
        }
    }

    /// Receives what is missing of a content, and says whether something was there.
    async fn receive(&mut self, commit: &str, file: &RemoteFile, path: &Path) -> Result<bool, Failure> {
        let mut options = File::options();
        let mut out = options.create(true).write(true).truncate(false).open(path).map_err(HubError::io(path))?;
        let mut before = out.metadata().map_err(HubError::io(path))?.len();
        if before > file.size.unwrap_or(limit(file)) {
            out.set_len(0).map_err(HubError::io(path))?;
            before = 0;
        }
        if file.size == Some(before) {
            return Ok(before > 0);
        }
        let Content { response, from } = self.remote.content(commit, &file.name, before).await?;
        let Some(from) = from else {
            out.set_len(0).map_err(HubError::io(path))?;
            let what = format!("{}: the server does not go on where it was asked to", file.name);
            return Err(Failure::Passing { what, wait: None, advanced: false });
        };
        if let (Some(length), Some(size)) = (response.content_length(), file.size)
            && from + length != size
        {
            let found = from + length;
            return Err(corrupt(file, format!("the server has {found} bytes, the hub says {size}")).into());
        }
        out.set_len(from).and_then(|()| out.seek(SeekFrom::Start(from))).map_err(HubError::io(path))?;
        let end = self.copy(response, file, &mut out, path, from).await;
        let end = end.map_err(|(failure, at)| match failure {
            Failure::Passing { what, wait, .. } => Failure::Passing { what, wait, advanced: at >= before + ENOUGH },
            failure @ Failure::Final(_) => failure,
        })?;
        out.sync_all().map_err(HubError::io(path))?;
        match file.size {
            Some(size) if end < size => {
                let what = format!("{}: the connection ended after {end} of {size} bytes", file.name);
                Err(Failure::Passing { what, wait: None, advanced: end >= before + ENOUGH })
            }
            _ => Ok(from > 0),
        }
    }

    /// Writes what comes, and says up to where; a failure also says so.
    async fn copy(
        &mut self,
        mut response: reqwest::Response,
        file: &RemoteFile,
        out: &mut File,
        path: &Path,
        from: u64,
    ) -> Result<u64, (Failure, u64)> {
        let most = file.size.unwrap_or(limit(file));
        let mut at = from;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(at),
                Err(error) => return Err((self.remote.broken(error), at)),
            };
            let end = at + chunk.len() as u64;
            if end > most {
                // It cannot be told what of it is right.
                let deleted = out.set_len(0).map_err(HubError::io(path));
                let error = corrupt(file, format!("more than the {most} bytes that were to come"));
                return Err((deleted.err().unwrap_or(error).into(), at));
            }
            out.write_all(&chunk).map_err(|error| (HubError::io(path)(error).into(), at))?;
            at = end;
            (self.watch)(FetchEvent::Reached { bytes: self.reached + at });
        }
    }
}

fn limit(file: &RemoteFile) -> u64 {
    if file.name.ends_with(".safetensors") { LARGEST_WEIGHTS } else { LARGEST_SMALL }
}

fn corrupt(file: &RemoteFile, problem: impl Into<String>) -> HubError {
    HubError::Corrupt { file: file.name.clone(), problem: problem.into() }
}
