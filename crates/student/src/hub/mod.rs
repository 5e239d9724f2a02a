//! Models of the Hugging Face hub: found in the cache that the Python libraries use too, and fetched into it.
//!
//! This is the crate's only module that may use the network, and only [`fetch`] does. What is fetched is checked against
//! the hub's hashes before it gets its name in the cache, so that whatever stands there is whole. Pickles, which can run
//! code when they are read, are neither fetched nor read.
//!
//! ```text
//! CACHE/models--ORGANISATION--NAME/blobs/HASH                    contents, each once
//!                                  snapshots/COMMIT/FILE         links to them: a model directory
//!                                  refs/REVISION                 the commit that a branch or tag was last seen at
//!                                  .no_exist/COMMIT/FILE         what the commit is known not to have
//! CACHE/.locks/models--ORGANISATION--NAME/HASH.lock              held while a content is fetched
//! ```
//!
//! ```
//! use apprentice_student::hub::{Cache, HubError, ModelName, Revision};
//!
//! let cache = tempfile::tempdir()?;
//! let name: ModelName = "google-bert/bert-base-cased".parse()?;
//! let missing = Cache::new(cache.path()).find(&name, &Revision::main());
//! assert!(matches!(missing, Err(HubError::NotCached { .. })));
//! assert!("../../etc".parse::<ModelName>().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod digest;
mod error;
mod fetch;
mod name;
mod needed;
mod remote;
mod repository;
mod settings;

pub use cache::{Cache, CachedModel};
pub use error::HubError;
pub use fetch::{FetchEvent, fetch};
pub use name::{ModelName, Revision};
pub use settings::{HubSettings, user_cache};
