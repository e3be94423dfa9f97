//! The head of a request on its way up: an attempt takes it, and gets it back if nothing was sent.
//!
//! Moving it instead of copying it is what keeps the fields of request and answer in the same allocations all the way
//! round: hyper reuses the map of the one for the other.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

/// More fields than hyper accepts from a client, and ours.
const FIELDS_MAX: usize = 256;

/// The head of a request, ready for egress.
#[derive(Clone)]
pub struct Head {
    /// Method.
    pub method: Method,
    /// Origin form.
    pub uri: Uri,
    /// Fields with their framing set.
    pub headers: HeaderMap,
    /// Whether it carries fields that only stamps exchange.
    pub announced: bool,
    /// Whether it asks for a WebSocket.
    pub websocket: bool,
}

impl Head {
    /// Moves the head into a request. Empty until it is given back.
    pub fn take<B>(&mut self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        std::mem::swap(request.method_mut(), &mut self.method);
        std::mem::swap(request.uri_mut(), &mut self.uri);
        std::mem::swap(request.headers_mut(), &mut self.headers);
        request
    }

    /// Takes back the head of a request that was not sent.
    pub fn give_back<B>(&mut self, request: Request<B>) {
        let (parts, _) = request.into_parts();
        (self.method, self.uri, self.headers) = (parts.method, parts.uri, parts.headers);
    }

    /// Whether it is all there: not taken, or given or read back since.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Reads back the head that was serialized. False if that is no whole head.
    pub fn read_back(&mut self, bytes: &[u8]) -> bool {
        match parse(bytes) {
            Some((method, uri, headers)) => {
                (self.method, self.uri, self.headers) = (method, uri, headers);
                true
            }
            None => false,
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Method, Uri, HeaderMap)> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    if !request.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some((Method::from_bytes(request.method?.as_bytes()).ok()?, Uri::try_from(request.path?).ok()?, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("example.com"));
        headers.append("via", HeaderValue::from_static("1.1 one"));
        headers.append("via", HeaderValue::from_bytes(b"1.1 caf\xe9").unwrap());
        Head { method: Method::PUT, uri: Uri::from_static("/a?b=c"), headers, announced: false, websocket: false }
    }

    #[test]
    fn a_head_goes_and_comes_back() {
        let mut moving = head();
        let request = moving.take(());
        assert!(moving.headers.is_empty());
        moving.give_back(request);
        assert_eq!((&moving.method, moving.uri.path(), moving.headers.len()), (&Method::PUT, "/a", 3));
    }

    #[test]
    fn a_serialized_head_is_read_back_exactly() {
        let mut moving = head();
        let lost = moving.take(());
        let bytes = b"PUT /a?b=c HTTP/1.1\r\nhost: example.com\r\nvia: 1.1 one\r\nvia: 1.1 caf\xe9\r\n\r\nbody";
        assert!(moving.read_back(bytes));
        assert_eq!(&moving.headers, lost.headers());
        assert_eq!((&moving.method, &moving.uri), (lost.method(), lost.uri()));
        for broken in [&b""[..], b"PUT /a HTTP/1.1\r\nhost: x\r\n", b"\0\0", b"PUT  HTTP/1.1\r\n\r\n"] {
            assert!(!moving.read_back(broken));
        }
        assert_eq!(moving.headers.len(), 3, "a failure changes nothing");
    }
}
