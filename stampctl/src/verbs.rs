//! The verbs, one file a verb or noun. Each says what it edits or shows; the way is [`crate::session`]'s.

mod drain;
mod epoch;
mod explain;
mod history;
mod keep;
mod list;
mod manual;
mod recover;
mod shape;
mod stamps;
mod status;
mod tenant;

use crate::{
    args::{Args, Command, Verb},
    failure::Failure,
    session::Session,
};

/// Runs what was said.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let verb = match args.command {
        Command::Verb(verb) => verb,
        Command::Completions { shell } => return manual::completions(shell),
        Command::Man => return manual::man(),
    };
    let session = Session::open(args.global)?;
    let session = &session;
    match verb {
        Verb::Init(said) => shape::init(session, &said).await,
        Verb::Register(said) => shape::register(session, said).await,
        Verb::Rollback(said) => shape::rollback(session, &said).await,
        Verb::Activate(said) => drain::activate(session, &said).await,
        Verb::CancelDrain(said) => drain::cancel(session, &said).await,
        Verb::Drain(said) => drain::drain(session, &said).await,
        Verb::Standby(said) => stamps::standby(session, &said).await,
        Verb::Delete(said) => stamps::delete(session, &said).await,
        Verb::Weight(said) => stamps::weight(session, &said).await,
        Verb::List(said) => list::list(session, &said).await,
        Verb::Status(said) => status::status(session, &said).await,
        Verb::Wait(said) => status::wait(session, &said).await,
        Verb::Tenant(said) => tenant::run(session, said).await,
        Verb::Explain(said) => explain::explain(session, &said).await,
        Verb::History(said) => history::history(session, &said).await,
        Verb::Recover(said) => recover::recover(session, said).await,
        Verb::Export(said) => keep::export(session, &said).await,
        Verb::Import(said) => keep::import(session, &said).await,
        Verb::Epoch(said) => epoch::epoch(session, &said).await,
    }
}
