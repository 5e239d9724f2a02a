//! One module per verb.

pub mod annotate;
pub mod data;
pub mod experiment;
pub mod models;
pub mod predict;
pub mod pretrain;
pub mod quickstart;
pub mod score;
pub mod train;
