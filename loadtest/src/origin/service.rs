//! One request of an origin: read, drawn for, recorded, answered.

use std::{cell::RefCell, io, rc::Rc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::sync::watch;

use super::{
    behaviour::{Fate, Lie, Stranger},
    journal::Journal,
    script::Script,
    websocket::Offer,
    wire::Tricks,
};
use crate::{echo, workload};

mod respond;

pub(super) use respond::Body;

/// Bytes of an answer to a request that does not say how many it wants.
const BYTES_DEFAULT: u32 = 1_024;

/// What all connections of an origin share.
pub(super) struct Service {
    pub(super) stamp: String,
    pub(super) journal: RefCell<Journal>,
    pub(super) rng: RefCell<Xoshiro256PlusPlus>,
    pub(super) script: watch::Receiver<Script>,
    /// A request whose answer is to be swapped with the next one's.
    pub(super) previous: RefCell<Option<Stranger>>,
}

/// What an answer says of its request.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// `None` for a request that nobody counts.
    pub(super) id: Option<u64>,
    pub(super) tenant: String,
    pub(super) bytes: u32,
    /// [`echo::digest`] of what came with it.
    pub(super) upload: u64,
    /// The tenant's resource that is asked for, if it is one that others read as well.
    pub(super) resource: Option<u32>,
    /// What the bytes of its answer follow from: the id, or [`echo::subject`] of a shared resource.
    pub(super) subject: u64,
}

impl Facts {
    fn of(head: &Parts, upload: &[u8]) -> Self {
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let id: Option<u64> = text(echo::ID).and_then(|id| id.parse().ok());
        let tenant = text(echo::TENANT_ID).unwrap_or_default();
        let resource = echo::resource(head.uri.path()).filter(|_| reads(&head.method));
        Self {
            id,
            tenant: tenant.to_owned(),
            bytes: text(echo::BYTES).and_then(|bytes| bytes.parse().ok()).unwrap_or(BYTES_DEFAULT),
            upload: echo::digest(id.unwrap_or_default(), upload),
            resource,
            subject: resource.map_or(id.unwrap_or_default(), |resource| echo::subject(tenant, resource)),
        }
    }

    /// What is answered under a lie about a shared resource.
    fn told(mut self, lie: Option<Lie>) -> Self {
        match (lie, self.resource) {
            (Some(Lie::Cross), Some(resource)) => {
                let other = u32::from(self.tenant == workload::tenant(0));
                self.tenant = workload::tenant(other);
                self.subject = echo::subject(&self.tenant, resource);
            }
            (Some(Lie::Mislay), Some(resource)) => self.subject = echo::subject(&self.tenant, resource ^ 1),
            _ => {}
        }
        self
    }
}

fn reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

impl Service {
    /// Answers a request; an error closes the connection without an answer.
    pub(super) async fn answer(
        self: Rc<Self>,
        mut request: Request<Incoming>,
        tricks: Tricks,
    ) -> io::Result<Response<Body>> {
        let offer = Offer::of(&mut request);
        let (head, body) = request.into_parts();
        let writes = !reads(&head.method);
        let facts = Facts::of(&head, &body.collect().await.map_err(io::Error::other)?.to_bytes());
        let script = self.script.borrow().clone();
        let (fate, lie, wait) = {
            let mut rng = self.rng.borrow_mut();
            (Fate::draw(&script, &facts.tenant, &mut rng), Lie::draw(&script, &mut rng), script.wait(&mut rng))
        };
        self.record(&facts, writes, lie)?;
        let facts = facts.told(lie);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let whole = |facts: &Facts| match offer {
            Some(offer) => offer.take(facts, &self.stamp),
            None => respond::whole(facts, &self.stamp, &script),
        };
        match (fate, lie) {
            (Fate::Hang, _) => std::future::pending().await,
            (Fate::Reset, _) => {
                tricks.reset();
                Err(io::ErrorKind::ConnectionReset.into())
            }
            (Fate::Error(status), _) => respond::error(status, &facts, &self.stamp),
            (Fate::Cut, _) => respond::cut(&facts, &self.stamp),
            (Fate::Answer, Some(Lie::Swap)) => whole(&Stranger::wait(&self.previous, facts).await),
            (Fate::Answer, lie) => {
                if lie == Some(Lie::AnswerTwice) {
                    tricks.twice();
                }
                whole(&Stranger::meet(&self.previous, facts))
            }
        }
    }

    fn record(&self, facts: &Facts, writes: bool, lie: Option<Lie>) -> io::Result<()> {
        let Some(id) = facts.id else { return Ok(()) };
        if lie == Some(Lie::Invent) {
            self.journal.borrow_mut().record(!id, writes, facts.upload, &facts.tenant)?;
        }
        let (times, upload) = match lie {
            Some(Lie::Forget) => (0, facts.upload),
            Some(Lie::ExecuteTwice) => (2, facts.upload),
            Some(Lie::Misread) => (1, !facts.upload),
            _ => (1, facts.upload),
        };
        (0..times).try_for_each(|_| self.journal.borrow_mut().record(id, writes, upload, &facts.tenant))
    }
}

/// The fields with which an answer proves whose it is.
pub(super) fn prove(facts: &Facts, stamp: &str, headers: &mut HeaderMap) {
    let mut say = |name: &'static str, text: &str| {
        // what came in a field fits into one
        headers
            .extend(http::HeaderValue::from_str(text).ok().map(|value| (http::HeaderName::from_static(name), value)));
    };
    say(echo::STAMP, stamp);
    say(echo::TENANT, &facts.tenant);
    match (facts.resource, facts.id) {
        // whoever asks for it later gets the same answer
        (Some(resource), _) => say(echo::RESOURCE, &resource.to_string()),
        (None, Some(id)) => {
            say(echo::ID, &id.to_string());
            say(echo::UPLOAD, &facts.upload.to_string());
        }
        (None, None) => {}
    }
}

/// The body of the answer to a request.
fn body(facts: &Facts) -> Bytes {
    echo::answer(facts.subject, facts.bytes)
}

/// A status that a script named.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
