//! The verbs, one file a verb or noun. Each says what it edits or shows; the way is [`crate::session`]'s.

mod busy;
mod cache;
mod degrade;
mod drain;
mod epoch;
mod explain;
mod health;
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
    args::{Args, Change, Command, Verb},
    failure::Failure,
    plan::Intent,
    session::Session,
};

/// Runs what was said.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let (intent, verb) = match args.command {
        Command::Completions { shell } => return manual::completions(shell),
        Command::Man => return manual::man(),
        Command::Cache(said) => return cache::run(&args.global, said).await,
        Command::Verb(Verb::Plan(said)) => (Intent::Plan, Verb::Change(said.change)),
        Command::Verb(Verb::Apply(said)) => (Intent::Apply(said.plan), Verb::Change(said.change)),
        Command::Verb(verb) => (Intent::Publish, verb),
    };
    let mut said = args.global;
    if matches!(verb, Verb::Change(Change::Isolate(_))) {
        // at once is what it is for
        said.max_moved.get_or_insert(100);
    }
    let session = &Session::open(said, intent)?;
    match verb {
        Verb::Change(said) => change(session, said).await,
        Verb::List(said) => list::list(session, &said).await,
        Verb::Status(said) => status::status(session, &said).await,
        Verb::Health(said) => health::health(session, &said).await,
        Verb::Wait(said) => health::wait(session, &said).await,
        Verb::Explain(said) => explain::explain(session, &said).await,
        Verb::History(said) => history::history(session, &said).await,
        Verb::Export(said) => keep::export(session, &said).await,
        Verb::Epoch(said) => epoch::epoch(session, &said).await,
        // taken apart above
        Verb::Plan(_) | Verb::Apply(_) => Err(Failure::Usage("a plan is made of one changing command".to_owned())),
    }
}

async fn change(session: &Session, said: Change) -> Result<(), Failure> {
    match said {
        Change::Init(said) => shape::init(session, &said).await,
        Change::Register(said) => shape::register(session, said).await,
        Change::Rollback(said) => shape::rollback(session, &said).await,
        Change::Activate(said) => drain::activate(session, &said).await,
        Change::CancelDrain(said) => drain::cancel(session, &said).await,
        Change::Drain(said) => drain::drain(session, &said).await,
        Change::Isolate(said) => drain::isolate(session, &said).await,
        Change::Standby(said) => stamps::standby(session, &said).await,
        Change::Delete(said) => stamps::delete(session, &said).await,
        Change::Weight(said) => stamps::weight(session, &said).await,
        Change::Degrade(said) => degrade::degrade(session, &said).await,
        Change::Tenant(said) => tenant::run(session, said).await,
        Change::Recover(said) => recover::recover(session, said).await,
        Change::Import(said) => keep::import(session, &said).await,
    }
}
