//! How vectors are written.
//!
//! In `send`, `\r \n \t \\ \xNN` are bytes, `\H` is the usual Host and tenant, `\{N,TEXT}` is TEXT N times, and a line
//! break in the file is nothing, so that each line of a request may stand on its own.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What `\H` stands for.
const USUAL: &str = "Host: a\r\nX-Tenant-Id: t\r\n";

/// One vector.
#[derive(Clone, Debug)]
pub(super) struct Vector {
    /// A sentence.
    pub(super) name: String,
    /// The attack it belongs to.
    pub(super) family: String,
    /// Exact bytes.
    pub(super) send: Vec<u8>,
    pub(super) outcome: Outcome,
}

/// What must become of a vector.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The app gets it, once.
    Accepted(Accepted),
    /// The proxy answers it.
    Refused(Refused),
    /// It is a beginning without an end: nobody gets it, whatever the answer.
    Starved,
    /// The connection is closed without a word.
    Silent,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    family: String,
    send: String,
    accepted: Option<Accepted>,
    refused: Option<Refused>,
    #[serde(default)]
    starved: bool,
    #[serde(default)]
    silent: bool,
}

/// What the app must have parsed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Accepted {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: String,
    /// `none`, `length` or `chunked`.
    pub(super) framing: String,
    pub(super) body: String,
    /// Fields that must be there exactly once, with this value, bytes outside ASCII escaped.
    pub(super) fields: BTreeMap<String, String>,
    /// Fields that must not be there, besides those that never may.
    pub(super) absent: Vec<String>,
    /// Whether the connection ends after the answer.
    pub(super) closes: bool,
    /// The status with which the HTTP library refuses what is behind it, which no longer begins where a request does.
    pub(super) then: Option<u16>,
}

impl Default for Accepted {
    fn default() -> Self {
        Self::get("/", "a")
    }
}

impl Accepted {
    /// A plain GET.
    pub(super) fn get(target: &str, host: &str) -> Self {
        Self {
            method: "GET".into(),
            target: target.into(),
            host: host.into(),
            framing: "none".into(),
            body: String::new(),
            fields: BTreeMap::new(),
            absent: Vec::new(),
            closes: false,
            then: None,
        }
    }
}

/// How the proxy must refuse.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refused {
    pub(super) status: u16,
    /// A reason token, or `bare` for what the HTTP library refuses.
    pub(super) reason: String,
    /// Whether the connection ends after the answer.
    #[serde(default = "yes")]
    pub(super) closes: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    vector: Vec<Written>,
}

/// Reads one file.
pub(super) fn load(text: &str) -> Vec<Vector> {
    let document: Document = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    document.vector.into_iter().map(read).collect()
}

fn read(written: Written) -> Vector {
    let Written { name, family, send, accepted, refused, starved, silent } = written;
    let outcome = match (accepted, refused, starved, silent) {
        (Some(accepted), None, false, false) => Outcome::Accepted(accepted),
        (None, Some(refused), false, false) => Outcome::Refused(refused),
        (None, None, true, false) => Outcome::Starved,
        (None, None, false, true) => Outcome::Silent,
        _ => panic!("{name}: exactly one of accepted, refused, starved, silent"),
    };
    Vector { send: bytes(&name, &send), name, family, outcome }
}

fn bytes(name: &str, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '\n' => {}
            '\\' => match rest.next() {
                Some('r') => bytes.push(b'\r'),
                Some('n') => bytes.push(b'\n'),
                Some('t') => bytes.push(b'\t'),
                Some('\\') => bytes.push(b'\\'),
                Some('H') => bytes.extend_from_slice(USUAL.as_bytes()),
                Some('x') => {
                    let digits: String = rest.by_ref().take(2).collect();
                    bytes.push(u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("{name}: \\x{digits}")));
                }
                Some('{') => {
                    let inner: String = rest.by_ref().take_while(|next| *next != '}').collect();
                    let (count, unit) = inner.split_once(',').unwrap_or_else(|| panic!("{name}: {inner}"));
                    let count = count.parse().unwrap_or_else(|_| panic!("{name}: {inner}"));
                    bytes.extend(self::bytes(name, unit).repeat(count));
                }
                other => panic!("{name}: \\{other:?} is no escape"),
            },
            other => {
                let mut buffer = [0; 4];
                bytes.extend_from_slice(other.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
    bytes
}
