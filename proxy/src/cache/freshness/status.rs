//! `Cache-Status` (RFC 9211): what the cache did with a request, for whoever looks at the answer.

use std::{
    fmt::{self, Write},
    sync::LazyLock,
};

use arrayvec::ArrayString;
use http::{HeaderValue, StatusCode};

/// Why a request went to the origin (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The cache has nothing to do with the request.
    Bypass,
    /// Its method is not one that is answered from the store.
    Method,
    /// Nothing is stored for the target.
    UriMiss,
    /// What is stored is for other values of the fields of `Vary`.
    VaryMiss,
    /// The request itself asks for it.
    Request,
    /// What is stored is stale.
    Stale,
}

/// One member of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The store answered; seconds for which the answer is still fresh, negative since it is stale.
    Hit {
        /// See there.
        ttl: i64,
    },
    /// What the processes of the stamp share had the answer; seconds as of a hit.
    Shared {
        /// See there.
        ttl: i64,
    },
    /// The origin was asked.
    Forwarded {
        /// Why.
        why: Forward,
        /// What it answered, if that is not the status that goes out.
        status: Option<StatusCode>,
        /// Its answer is stored now; for how many seconds it is fresh.
        stored: Option<i64>,
        /// It was asked on behalf of another request.
        collapsed: bool,
        /// A token that says more: [`Unstorable::token`](super::Unstorable::token), [`Bypass::token`](super::Bypass::token).
        detail: Option<&'static str>,
    },
}

/// A hit's member, all but the number.
const HIT: &str = "synaxis; hit; ttl=";

/// The members of hits that are fresh for less than a thousand seconds, with zeros behind those that are shorter: they
/// go out with every hit, and so does their number as `Age`.
static HITS: [[u8; HIT.len() + 3]; 1000] = hits();

const fn hits() -> [[u8; HIT.len() + 3]; 1000] {
    let mut all = [[0; HIT.len() + 3]; 1000];
    let mut ttl = 0;
    while ttl < 1000 {
        let mut at = 0;
        while at < HIT.len() {
            all[ttl][at] = HIT.as_bytes()[at];
            at += 1;
        }
        let mut divisor = match ttl {
            0..10 => 1,
            10..100 => 10,
            _ => 100,
        };
        while divisor > 0 {
            all[ttl][at] = b'0' + (ttl / divisor % 10) as u8;
            at += 1;
            divisor /= 10;
        }
        ttl += 1;
    }
    all
}

/// The same as values, and their numbers: what makes one of bytes looks at each of them.
static READY: LazyLock<Vec<[HeaderValue; 2]>> = LazyLock::new(|| {
    let written = HITS.iter().filter_map(|row| std::str::from_utf8(row.split(|byte| *byte == 0).next()?).ok());
    written.map(|text| [text, &text[HIT.len()..]].map(HeaderValue::from_static)).collect()
});

/// A number below a thousand.
pub(super) fn small(number: u32) -> Option<HeaderValue> {
    let [_, number] = READY.get(usize::try_from(number).ok()?)?;
    Some(number.clone())
}

impl Forward {
    /// RFC 9211 §2.2.
    fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

impl Told {
    /// The member, to be appended to the field. A hit that is fresh for less than a thousand seconds allocates nothing.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        if let Self::Hit { ttl } = *self
            && let Some([hit, _]) = usize::try_from(ttl).ok().and_then(|ttl| READY.get(ttl))
        {
            return hit.clone();
        }
        let mut text = ArrayString::<256>::new();
        // it has place for the longest member
        let _ = self.write(&mut text);
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("synaxis"))
    }

    fn write(&self, text: &mut ArrayString<256>) -> fmt::Result {
        match *self {
            Self::Hit { ttl } => write!(text, "{HIT}{ttl}"),
            Self::Shared { ttl } => write!(text, "{HIT}{ttl}; detail=store"),
            Self::Forwarded { why, status, stored, collapsed, detail } => {
                write!(text, "synaxis; fwd={}", why.token())?;
                if let Some(status) = status {
                    write!(text, "; fwd-status={}", status.as_u16())?;
                }
                if let Some(ttl) = stored {
                    write!(text, "; stored; ttl={ttl}")?;
                }
                if collapsed {
                    text.write_str("; collapsed")?;
                }
                if let Some(detail) = detail.filter(|detail| detail.len() <= 64) {
                    write!(text, "; detail={detail}")?;
                }
                Ok(())
            }
        }
    }
}
