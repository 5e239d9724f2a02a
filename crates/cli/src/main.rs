//! The program `apprentice`: flags and files in, library calls, tables and files out.

mod built_in;
mod commands;
mod inputs;
mod output;
mod outputs;
mod page;
mod progress;
mod sample;
mod settings;
mod unfinished;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Turn a language model's judgement into a small, fast, private model for named-entity recognition.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// No progress on stderr.
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The whole job on built-in sample data: no network, no arguments, under two minutes.
    Quickstart(commands::quickstart::Args),
    /// Label sentences with a teacher and write them as distilled data.
    Annotate(Box<commands::annotate::Args>),
    #[command(subcommand)]
    Data(commands::data::Verb),
    Score(commands::score::Args),
    /// Train a student on original data, distilled data or both.
    Train(Box<commands::train::Args>),
    /// Tag text with a trained student.
    Predict(commands::predict::Args),
    /// Train an encoder on text without labels, by masked language modelling.
    Pretrain(Box<commands::pretrain::Args>),
    #[command(subcommand)]
    Experiment(commands::experiment::Verb),
    #[command(subcommand)]
    Models(commands::models::Verb),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let progress = progress::Progress::new(cli.quiet);
    let done = match cli.command {
        Command::Quickstart(args) => commands::quickstart::run(&args, progress),
        Command::Annotate(args) => commands::annotate::run(&args, progress),
        Command::Data(verb) => commands::data::run(&verb, progress),
        Command::Score(args) => commands::score::run(&args, progress),
        Command::Train(args) => commands::train::run(&args, progress),
        Command::Predict(args) => commands::predict::run(&args, progress),
        Command::Pretrain(args) => commands::pretrain::run(&args, progress),
        Command::Experiment(verb) => commands::experiment::run(&verb, progress),
        Command::Models(verb) => commands::models::run(&verb, progress),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::report_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
