//! One request and its answer, on whatever carries it: the fields that go out, and the proof that what came back belongs
//! to it.

use std::{error::Error as _, io, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use rustix::io::Errno;

use super::{
    job::Job,
    sample::{End, NO_SOCKET, Source},
};
use crate::echo::{self, Matcher};

/// Fields that many requests have, parsed once.
pub(super) struct Heads {
    names: Vec<String>,
    tenants: Vec<HeaderValue>,
    /// By entry.
    hosts: Vec<HeaderValue>,
    /// By entry.
    absolute: Vec<Uri>,
    path: Uri,
}

const ID: HeaderName = HeaderName::from_static(echo::ID);
const BYTES: HeaderName = HeaderName::from_static(echo::BYTES);
const TENANT_ID: HeaderName = HeaderName::from_static(echo::TENANT_ID);
const RESOURCE: HeaderName = HeaderName::from_static(echo::RESOURCE);
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Where requests go.
const PATH: &str = "/load";

/// The host of shared resources: one name, by whichever stamp a client enters, as a platform has it. What is kept for one host
/// is not given for another.
const HOST: &str = "platform.test";

impl Heads {
    pub(super) fn new(tenants: &[String], entries: &[SocketAddr]) -> Self {
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
        Self {
            names: tenants.to_vec(),
            tenants: tenants.iter().map(|tenant| value(tenant)).collect(),
            hosts: entries.iter().map(|entry| value(&entry.to_string())).collect(),
            absolute: entries.iter().map(|entry| uri(format!("http://{entry}{PATH}"))).collect(),
            path: Uri::from_static(PATH),
        }
    }

    /// The request of a job; `absolute` for HTTP/2, which has an authority instead of a host.
    pub(super) fn request(&self, job: &Job, absolute: bool) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(echo::upload(job.id, job.request.upload)));
        *request.method_mut() = if job.request.writes { Method::POST } else { Method::GET };
        let headers = request.headers_mut();
        headers.reserve(4);
        if !absolute {
            let shared = job.request.resource.map(|_| HeaderValue::from_static(HOST));
            headers.insert(header::HOST, shared.unwrap_or_else(|| self.hosts[job.entry].clone()));
        }
        self.fields(job, headers);
        *request.uri_mut() = match (job.request.resource.map(echo::path), absolute) {
            (None, false) => self.path.clone(),
            (None, true) => self.absolute[job.entry].clone(),
            (Some(path), false) => uri(path),
            (Some(path), true) => uri(format!("http://{HOST}{path}")),
        };
        request
    }

    /// What every request says, on a WebSocket too.
    pub(super) fn fields(&self, job: &Job, headers: &mut HeaderMap) {
        let tenant = usize::try_from(job.request.tenant).ok().and_then(|index| self.tenants.get(index));
        headers.extend(tenant.map(|tenant| (TENANT_ID, tenant.clone())));
        headers.insert(ID, HeaderValue::from(job.id));
        headers.insert(BYTES, HeaderValue::from(job.request.answer));
    }

    /// A request that nobody counts, to make a new connection a used one.
    pub(super) fn greeting(&self, entry: usize) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.path.clone();
        request.headers_mut().insert(header::HOST, self.hosts[entry].clone());
        let tenant = self.tenants.first().cloned();
        request.headers_mut().extend(tenant.map(|tenant| (TENANT_ID, tenant)));
        request
    }

    /// Whether the fields of an answer echo those of the request.
    pub(super) fn is_echo(&self, job: &Job, headers: &HeaderMap) -> bool {
        let field = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let tenant = usize::try_from(job.request.tenant).ok().and_then(|index| self.tenants.get(index));
        let number = |name: &str| std::str::from_utf8(field(name)?).ok()?.parse::<u64>().ok();
        if field(echo::TENANT) != tenant.map(HeaderValue::as_bytes) {
            return false;
        }
        if let Some(resource) = job.request.resource {
            return number(echo::RESOURCE) == Some(resource.into());
        }
        let upload = || echo::digest(job.id, &echo::upload(job.id, job.request.upload));
        number(echo::ID) == Some(job.id) && (!job.request.writes || number(echo::UPLOAD) == Some(upload()))
    }

    /// What the bytes of the answer to a job follow from.
    fn subject(&self, job: &Job) -> u64 {
        let tenant = usize::try_from(job.request.tenant).ok().and_then(|index| self.names.get(index));
        tenant.zip(job.request.resource).map_or(job.id, |(tenant, resource)| echo::subject(tenant, resource))
    }
}

/// One of a path or address that this client has made.
fn uri(text: String) -> Uri {
    Uri::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| Uri::from_static(PATH))
}

/// Who had an answer, by what the last cache on its way that goes by the proxy's name says.
fn source(headers: &HeaderMap) -> Source {
    let fields = headers.get_all(CACHE_STATUS).iter().filter_map(|value| value.to_str().ok());
    let own = |member: &&str| member.split(';').next().is_some_and(|name| name.trim() == "synaxis");
    let Some(member) = fields.flat_map(|field| field.split(',')).rfind(own) else { return Source::App };
    let says = |wanted: &str| member.split(';').skip(1).any(|parameter| parameter.trim() == wanted);
    match (says("hit"), says("detail=store"), says("collapsed")) {
        (true, false, _) => Source::Memory,
        (true, true, _) => Source::Store,
        (false, _, true) => Source::Collapsed,
        (false, _, false) => Source::App,
    }
}

/// Reads a whole answer. Returns how the request ended and who answered.
///
/// An answer that proves whose it is must be this request's, whatever its status and even if its end is missing.
pub(super) async fn read(heads: &Heads, job: &Job, answer: Response<Incoming>, echo: bool) -> (End, String) {
    let (head, mut body) = answer.into_parts();
    let stamp = text(&head.headers, echo::STAMP).unwrap_or_default();
    let success = head.status == StatusCode::OK;
    if job.request.resource.is_some() {
        job.source.set(Some(source(&head.headers)));
    }
    let proves = success || head.headers.contains_key(ID) || head.headers.contains_key(RESOURCE);
    let foreign = echo && proves && !heads.is_echo(job, &head.headers);
    let mut matcher = Matcher::new(heads.subject(job));
    let mut cut = None;
    while let Some(frame) = body.frame().await {
        match frame {
            // an error has a text of its own
            Ok(frame) if echo && success => matcher.feed(frame.data_ref().map_or(&[][..], |data| data)),
            Ok(_) => {}
            Err(error) => {
                cut = Some(End::Broken(word(&error, "cut")));
                break;
            }
        }
    }
    let whole = !echo || !success || matcher.is_whole(job.request.answer);
    let end = match cut {
        _ if foreign || !matcher.matches() => End::CrossTalk,
        Some(cut) => cut,
        None if !success => {
            End::Refused { status: head.status.as_u16(), reason: text(&head.headers, "x-synaxis-reason") }
        }
        None if whole => End::Answered,
        None => End::CrossTalk,
    };
    (end, stamp)
}

/// A field's value, if it is there and a text.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// What happened to a connection, in one word; `otherwise` when it just ended.
pub(super) fn word(error: &hyper::Error, otherwise: &'static str) -> &'static str {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset",
                io::ErrorKind::TimedOut => "timeout",
                _ => otherwise,
            };
        }
        source = cause.source();
    }
    if error.is_parse() { "protocol" } else { otherwise }
}

/// Whether a connection ended because something came that nobody had asked for; hyper has no other name for it.
pub(super) fn is_surplus(error: &hyper::Error) -> bool {
    error.to_string() == "received unexpected message from connection"
}

/// The same for a connection that did not come about.
pub(super) fn connect_word(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if Errno::from_io_error(error).is_some_and(is_own) => NO_SOCKET,
        io::ErrorKind::ConnectionRefused => "connect_refused",
        io::ErrorKind::ConnectionReset => "connect_reset",
        io::ErrorKind::TimedOut => "connect_timeout",
        _ => "connect_failed",
    }
}

/// Whether this machine, and not the server, is out of something.
fn is_own(error: Errno) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM].contains(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_had_an_answer_is_what_the_last_of_our_caches_says() {
        for (fields, wanted) in [
            (&["synaxis; hit; ttl=37"][..], Source::Memory),
            (&["synaxis;hit"], Source::Memory),
            (&["synaxis; hit; ttl=37; detail=store"], Source::Store),
            (&["synaxis; fwd=uri-miss; stored; ttl=60; collapsed"], Source::Collapsed),
            (&["synaxis; fwd=uri-miss; stored; ttl=60"], Source::App),
            (&["other; hit"], Source::App),
            (&["other; hit, synaxis; fwd=stale"], Source::App),
            (&["other; fwd=miss", "synaxis; hit; ttl=1"], Source::Memory),
            (&["synaxis; hit", "synaxis; fwd=bypass"], Source::App),
            (&["synaxis; fwd=uri-miss; detail=hit"], Source::App),
            (&["hit"], Source::App),
            (&[], Source::App),
        ] {
            let field = |text: &&str| (CACHE_STATUS, HeaderValue::from_str(text).unwrap());
            assert_eq!(source(&fields.iter().map(field).collect()), wanted, "{fields:?}");
        }
    }

    #[test]
    fn a_machine_without_sockets_is_not_the_servers_fault() {
        let word = |errno: Errno| connect_word(&errno.into());
        assert_eq!(word(Errno::MFILE), NO_SOCKET);
        assert_eq!(word(Errno::ADDRNOTAVAIL), NO_SOCKET);
        assert_eq!(word(Errno::CONNREFUSED), "connect_refused");
        assert_eq!(word(Errno::HOSTUNREACH), "connect_failed");
    }
}
