//! Which requests share an answer (RFC 9111 §4.1).

use std::{fmt, sync::Arc};

use http::{
    HeaderMap, HeaderName,
    header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY},
};

use super::directives::members;

/// Most names that are kept.
const NAMES_MAX: usize = 16;

/// Most bytes of all names.
const BYTES_MAX: usize = 512;

/// What `Vary` says of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// The answer is for every request of the resource.
    None,
    /// No other request can be known to get it: `*`, or names that are not kept.
    Any,
    /// It is for requests with the same values of these fields.
    Names(Names),
}

/// The names of fields in lower case, sorted, each once; at least one, at most 16, together at most 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Names(Arc<[HeaderName]>);

impl Vary {
    /// Reads all lines of the field.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut names: Vec<HeaderName> = Vec::new();
        for written in headers.get_all(VARY).iter().flat_map(|line| members(line.as_bytes())) {
            // `*` is a token too
            let Ok(name) = HeaderName::from_bytes(written) else { return Self::Any };
            if name == "*" {
                return Self::Any;
            }
            if !names.contains(&name) {
                names.push(name);
            }
            if names.len() > NAMES_MAX {
                return Self::Any;
            }
        }
        if names.is_empty() {
            return Self::None;
        }
        Names::new(names).map_or(Self::Any, Self::Names)
    }
}

impl Names {
    fn new(mut names: Vec<HeaderName>) -> Option<Self> {
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        let bytes: usize = names.iter().map(|name| name.as_str().len()).sum();
        (!names.is_empty() && names.len() <= NAMES_MAX && bytes <= BYTES_MAX).then(|| Self(names.into()))
    }

    /// Of these, in any order; None when they are too many or too long.
    #[must_use]
    pub fn of(names: &[HeaderName]) -> Option<Self> {
        Self::new(names.to_vec())
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter()
    }

    /// Reads what [`Display`](fmt::Display) writes, from a store outside the process; None when it is not such a list.
    #[must_use]
    pub fn read(written: &str) -> Option<Self> {
        if written.len() > BYTES_MAX + NAMES_MAX {
            return None;
        }
        let names =
            written.split(',').map(|name| HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| name != "*"));
        Self::new(names.collect::<Option<_>>()?)
    }
}

/// The names with commas between them.
impl fmt::Display for Names {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                to.write_str(",")?;
            }
            to.write_str(name.as_str())?;
        }
        Ok(())
    }
}

/// Appends what a request says in these fields: the same bytes for requests that share an answer, and for no others.
/// Names are part of it, so that values of two lists never meet.
///
/// Lines of one field are combined, and outer whitespace is left out. Where a field is known to be a list, spaces and
/// empty members go as well, and the letters of codings and languages are made small (RFC 9111 §4.1).
pub fn write_values(names: &Names, headers: &HeaderMap, into: &mut Vec<u8>) {
    for name in names.iter() {
        framed(into, |into| into.extend_from_slice(name.as_str().as_bytes()));
        if headers.contains_key(name) {
            into.push(1);
            framed(into, |into| value(name, headers, into));
        } else {
            into.push(0);
        }
    }
}

/// Writes the length before what `write` appends.
fn framed(into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    write(into);
    // a head is far smaller than 4 GiB
    let length = u32::try_from(into.len() - start - 4).unwrap_or(u32::MAX);
    into[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn value(name: &HeaderName, headers: &HeaderMap, into: &mut Vec<u8>) {
    let list = matches!(*name, ACCEPT | ACCEPT_CHARSET | ACCEPT_ENCODING | ACCEPT_LANGUAGE);
    let small = matches!(*name, ACCEPT_CHARSET | ACCEPT_ENCODING | ACCEPT_LANGUAGE);
    let start = into.len();
    for line in headers.get_all(name) {
        let line = line.as_bytes().trim_ascii();
        if list {
            // no member of these but Accept may hold a quoted comma; one that does is left as it is
            if line.contains(&b'"') {
                separated(into, start, line);
            } else {
                members(line).for_each(|member| separated(into, start, member));
            }
        } else {
            separated(into, start, line);
        }
    }
    if small {
        into[start..].make_ascii_lowercase();
    }
}

fn separated(into: &mut Vec<u8>, start: usize, member: &[u8]) {
    if into.len() > start {
        into.push(b',');
    }
    into.extend_from_slice(member);
}
