//! `Cache-Control`, read from bytes (RFC 9111 §5.2): each directive with its argument, in order.
//!
//! A quoted argument may hold commas and escapes. A quote that is never closed ends at the next comma, so that it hides
//! no directive behind it.

use http::{HeaderMap, header::CACHE_CONTROL};

use super::{SECONDS_MAX, Seconds};

/// What stands behind the `=` of a directive, without its quotes; escapes are left in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// There is no `=`.
    None,
    /// A token, or what should have been one.
    Token(&'a [u8]),
    /// The inside of a quoted string.
    Quoted(&'a [u8]),
    /// Something stands there that is neither.
    Broken,
}

/// One member of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    name: &'a [u8],
    pub(super) argument: Argument<'a>,
}

impl<'a> Directive<'a> {
    /// Whether this is the directive `name`, which is in lower case; names do not care for it (RFC 9111 §5.2).
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The argument as a number of seconds. Both forms of an argument are read (RFC 9111 §5.2). None when it is missing
    /// or is not a number.
    pub(super) fn seconds(&self) -> Option<Seconds> {
        match self.argument {
            Argument::Token(digits) | Argument::Quoted(digits) => seconds(digits),
            Argument::None | Argument::Broken => None,
        }
    }

    /// The names of an argument that lists fields. None when it has no argument, or when something in it is not a
    /// field's name: the directive then stands for the whole answer.
    pub(super) fn fields(&self) -> Option<impl Iterator<Item = &'a [u8]> + Clone + use<'a>> {
        let list = match self.argument {
            Argument::Token(list) | Argument::Quoted(list) => list,
            Argument::None | Argument::Broken => return None,
        };
        let names = members(list);
        let readable = names.clone().all(|name| name.iter().all(|byte| is_token(*byte)));
        (readable && names.clone().next().is_some()).then_some(names)
    }
}

/// The members of a list without quotes: trimmed, empty ones left out (RFC 9110 §5.6.1.2).
pub(super) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Digits and nothing else; what is too large is [`SECONDS_MAX`] (RFC 9111 §1.2.2).
pub(super) fn seconds(digits: &[u8]) -> Option<Seconds> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number =
        digits.iter().fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    Some(number.min(SECONDS_MAX))
}

/// A character of a token (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// All directives of a message.
pub(super) fn of(headers: &HeaderMap) -> impl Iterator<Item = Directive<'_>> {
    headers.get_all(CACHE_CONTROL).iter().flat_map(|line| Line { rest: line.as_bytes() })
}

/// The directives of one line.
struct Line<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Line<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let member = self.member();
            let equals = member.iter().position(|byte| *byte == b'=');
            // a space before the `=` is not allowed; the name is read all the same, the argument is not
            let (name, argument) = match equals {
                None => (member, Argument::None),
                Some(at) => (&member[..at], argument(&member[at + 1..], member[..at].ends_with(b" "))),
            };
            let name = name.trim_ascii();
            if !name.is_empty() {
                return Some(Directive { name, argument });
            }
        }
    }
}

impl<'a> Line<'a> {
    /// Takes what stands before the next comma that is not inside a quoted string.
    fn member(&mut self) -> &'a [u8] {
        let end = end_of_member(self.rest);
        let (member, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        member.trim_ascii()
    }
}

fn end_of_member(list: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = list.get(at) {
        match byte {
            b',' => return at,
            b'"' => at = end_of_quoted(list, at).unwrap_or(at),
            _ => {}
        }
        at += 1;
    }
    list.len()
}

/// Where the string that is opened at `open` is closed.
fn end_of_quoted(list: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match list.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn argument(written: &[u8], after_space: bool) -> Argument<'_> {
    if after_space || written.is_empty() {
        return Argument::Broken;
    }
    match written {
        [b'"', inside @ .., b'"'] => Argument::Quoted(inside),
        token if token.iter().all(|byte| is_token(*byte)) => Argument::Token(token),
        _ => Argument::Broken,
    }
}
