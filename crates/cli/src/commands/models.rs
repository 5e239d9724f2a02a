//! `models`: pretrained encoders, listed and fetched, in the cache that the Python libraries use too.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use apprentice_student::hub::{self, Cache, CachedModel, FetchEvent, HubSettings, ModelName, Revision};
use clap::{Args, Subcommand};
use indicatif::HumanBytes;

use crate::{built_in, output, progress::Progress};

/// List and fetch pretrained encoders of the Hugging Face hub
#[derive(Subcommand)]
pub enum Verb {
    /// List the models of the cache that can be used as encoders
    List(ListArgs),
    /// Fetch a model from the hub into the cache and print its directory
    ///
    /// `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE` and `HF_HUB_OFFLINE` mean what they mean to the Python libraries.
    Fetch(FetchArgs),
}

#[derive(Args)]
pub struct ListArgs {
    /// Print JSON instead of a table; also of models that cannot be used
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct FetchArgs {
    /// The model, as ORGANISATION/NAME or NAME
    name: ModelName,
    /// A branch, a tag or a commit
    #[arg(long, default_value = "main")]
    revision: Revision,
}

pub fn run(verb: &Verb, progress: Progress) -> Result<()> {
    let settings = settings()?;
    match verb {
        Verb::List(args) => list(args, &Cache::new(settings.cache), progress),
        Verb::Fetch(args) => fetch(args, &settings, progress),
    }
}

/// The directory of an encoder that is named: that in the program, itself, or that of a model in the cache. Nothing is
/// fetched.
pub fn directory(encoder: &str) -> Result<PathBuf> {
    if encoder == built_in::NAME {
        return built_in::directory();
    }
    if Path::new(encoder).is_dir() {
        return Ok(encoder.into());
    }
    let name: ModelName = encoder.parse().with_context(|| {
        format!(
            "encoder `{encoder}`: no such directory; expected `built-in`, a model directory, scratch:LAYERSxHIDDENxHEADS, or the \
             name of a model that `apprentice models fetch` has fetched"
        )
    })?;
    let found = Cache::new(settings()?.cache).find(&name, &Revision::main());
    found.with_context(|| format!("encoder `{encoder}`: no such directory"))
}

fn settings() -> Result<HubSettings> {
    Ok(HubSettings::from_variables(|name| env::var_os(name))?)
}

fn fetch(args: &FetchArgs, settings: &HubSettings, progress: Progress) -> Result<()> {
    let bar = progress.bytes(args.name.as_str());
    let mut watch = |event: FetchEvent<'_>| match event {
        FetchEvent::Planned { bytes, .. } => bar.set_length(bytes),
        FetchEvent::Reached { bytes } => bar.set_position(bytes),
        FetchEvent::Waiting { file } => {
            progress.note_above(&bar, &format!("another process fetches {file}: waiting for it"));
        }
        FetchEvent::Retrying { problem, wait } => {
            progress.note_above(&bar, &format!("{problem}: trying again in {:.1} s", wait.as_secs_f64()));
        }
        _ => {}
    };
    let fetched = hub::fetch(settings, &args.name, &args.revision, &mut watch);
    bar.finish_and_clear();
    output::print(fetched?.display())
}

fn list(args: &ListArgs, cache: &Cache, progress: Progress) -> Result<()> {
    let models = cache.models()?;
    if args.json {
        return output::print_json(&models);
    }
    let row = |model: &CachedModel| {
        let revision = if model.revisions.is_empty() { model.commit.clone() } else { model.revisions.join(", ") };
        let size = HumanBytes(model.weights_bytes).to_string();
        let family = model.family.clone().unwrap_or_default();
        vec![model.name.clone(), revision, family, size, model.path.display().to_string()]
    };
    let usable = || models.iter().filter(|model| model.problem.is_none());
    if usable().next().is_none() {
        progress.note("no models: get one with `apprentice models fetch NAME`, such as google-bert/bert-base-cased");
    } else {
        output::print(output::text_table(&["name", "revision", "family", "weights", "path"], usable().map(row)))?;
    }
    for model in &models {
        if let Some(problem) = &model.problem {
            progress.note(format_args!("{} cannot be used as an encoder: {problem}", model.name));
        }
    }
    Ok(())
}
