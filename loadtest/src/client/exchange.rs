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
    sample::{End, NO_SOCKET},
};
use crate::echo::{self, Matcher};

/// Fields that many requests have, parsed once.
pub(super) struct Heads {
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

/// Where requests go.
const PATH: &str = "/load";

impl Heads {
    pub(super) fn new(tenants: &[String], entries: &[SocketAddr]) -> Self {
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
        let absolute =
            |entry: &SocketAddr| format!("http://{entry}{PATH}").parse().unwrap_or_else(|_| Uri::from_static(PATH));
        Self {
            tenants: tenants.iter().map(|tenant| value(tenant)).collect(),
            hosts: entries.iter().map(|entry| value(&entry.to_string())).collect(),
            absolute: entries.iter().map(absolute).collect(),
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
            headers.insert(header::HOST, self.hosts[job.entry].clone());
        }
        self.fields(job, headers);
        *request.uri_mut() = if absolute { self.absolute[job.entry].clone() } else { self.path.clone() };
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
        let upload = || echo::digest(job.id, &echo::upload(job.id, job.request.upload));
        number(echo::ID) == Some(job.id)
            && field(echo::TENANT) == tenant.map(HeaderValue::as_bytes)
            && (!job.request.writes || number(echo::UPLOAD) == Some(upload()))
    }
}

/// Reads a whole answer. Returns how the request ended and who answered.
///
/// An answer that proves whose it is must be this request's, whatever its status and even if its end is missing.
pub(super) async fn read(heads: &Heads, job: &Job, answer: Response<Incoming>, echo: bool) -> (End, String) {
    let (head, mut body) = answer.into_parts();
    let stamp = text(&head.headers, echo::STAMP).unwrap_or_default();
    let success = head.status == StatusCode::OK;
    let proves = success || head.headers.contains_key(ID);
    let foreign = echo && proves && !heads.is_echo(job, &head.headers);
    let mut matcher = Matcher::new(job.id);
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
    fn a_machine_without_sockets_is_not_the_servers_fault() {
        let word = |errno: Errno| connect_word(&errno.into());
        assert_eq!(word(Errno::MFILE), NO_SOCKET);
        assert_eq!(word(Errno::ADDRNOTAVAIL), NO_SOCKET);
        assert_eq!(word(Errno::CONNREFUSED), "connect_refused");
        assert_eq!(word(Errno::HOSTUNREACH), "connect_failed");
    }
}
