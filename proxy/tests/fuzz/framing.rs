//! Fields of any name: what goes on has exactly the framing of its body and nothing of its last connection.

use http::{HeaderMap, HeaderName, HeaderValue};
use synaxis_proxy::upstream::framing::{self, Length};

const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");

/// Reads the bytes as the fields of a message, whatever stands in the first line.
pub fn body(bytes: &[u8]) {
    let Some(headers) = fields(bytes) else { return };
    for length in [Length::None, Length::Exact(0), Length::Exact(u64::MAX), Length::Unknown] {
        forward(headers.clone(), length);
    }
    answer(headers.clone());
    let number = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let said = number.is_some_and(|number| framing::says_length(&headers, number));
    let mut one = headers;
    framing::one_length(&mut one);
    let lengths = all(&one, "content-length");
    assert!(lengths.len() <= 1 && lengths.iter().all(|length| length.iter().all(u8::is_ascii_digit)), "{lengths:?}");
    assert!(!said || lengths == [number.unwrap_or_default().to_string().as_bytes()], "{lengths:?}");
}

fn fields(bytes: &[u8]) -> Option<HeaderMap> {
    let after = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let text = [&bytes[after..], b"\r\n\r\n"].concat();
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let httparse::Status::Complete((_, read)) = httparse::parse_headers(&text, &mut fields).ok()? else { return None };
    let mut headers = HeaderMap::new();
    for field in read {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(headers)
}

fn all(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
}

fn of_a_connection(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "upgrade" | "http2-settings" | "expect")
        || name.starts_with("proxy-")
}

fn forward(mut headers: HeaderMap, length: Length) {
    let before = headers.clone();
    if let Err(refused) = framing::egress(&mut headers, length, &TENANT) {
        let said = refused.to_string();
        assert!(before.contains_key("connection") && !said.chars().any(char::is_control), "{said:?}");
        return;
    }
    let (lengths, codings) = match length {
        Length::None => (vec![], vec![]),
        Length::Exact(bytes) => (vec![bytes.to_string().into_bytes()], vec![]),
        Length::Unknown => (vec![], vec![b"chunked".to_vec()]),
    };
    assert_eq!((all(&headers, "content-length"), all(&headers, "transfer-encoding")), (lengths, codings));
    for name in headers.keys().map(HeaderName::as_str) {
        assert!(!of_a_connection(name), "{name} stayed");
        if !matches!(name, "content-length" | "transfer-encoding") {
            assert_eq!(all(&headers, name), all(&before, name), "{name} changed");
        }
    }
    for kept in ["host", "authorization", "cookie", "x-tenant-id", "x-forwarded-for"] {
        assert_eq!(all(&headers, kept), all(&before, kept), "{kept}");
    }
}

fn answer(mut headers: HeaderMap) {
    let before = headers.clone();
    let has_length = framing::answer(&mut headers);
    assert_eq!(has_length, headers.contains_key("content-length"));
    for name in headers.keys().map(HeaderName::as_str) {
        let internal = name.starts_with(framing::INTERNAL) && name != "x-synaxis-reason";
        assert!(!of_a_connection(name) && name != "transfer-encoding" && !internal, "{name} stayed");
    }
    assert_eq!(all(&headers, "content-type"), all(&before, "content-type"));
    let mut again = headers.clone();
    framing::answer(&mut again);
    assert_eq!(again, headers, "twice is not once");
}
