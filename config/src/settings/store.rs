//! The address of a store: a secret, as it may carry a password.
//!
//! Invariant: [`Debug`](fmt::Debug) and [`Display`](fmt::Display) never show user, password or query; only
//! [`StoreUrl::expose`] does.

use std::fmt;

use url::Url;

/// Longest store address in bytes.
const STORE_BYTES_MAX: usize = 2048;
/// Where a Redis listens unless written.
const REDIS_PORT: u16 = 6379;

/// Where the routing table of the fleet is kept: `redis://`, `rediss://`, `file:PATH` or `memory:`.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    secret: Box<str>,
    shown: Box<str>,
    place: Location,
}

/// Who can reach a store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Location {
    Server,
    File,
    Memory,
}

/// Text that is no store address. Says nothing of the text itself: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStore {
    /// A scheme that is no store.
    #[error("it starts with none of redis://, rediss://, file: and memory:")]
    Scheme,
    /// No server where only one will do.
    #[error("it starts with neither redis:// nor rediss://")]
    NoServer,
    /// Longer than 2048 bytes.
    #[error("it is longer than 2048 bytes")]
    TooLong,
    /// A control character or a blank.
    #[error("it holds a blank or a control character (percent-encode them)")]
    Blank,
    /// No URL.
    #[error(
        "it is no URL; special characters in a password are percent-encoded: @ is %40, / is %2F, # is %23, ? is %3F"
    )]
    Malformed,
    /// No host.
    #[error("it has no host: write redis://HOST:PORT/DATABASE")]
    Host,
    /// Something other than a number in the path.
    #[error("after the host only the number of a database may stand, such as /0")]
    Database,
    /// A fragment.
    #[error("it has a # in it: in a password, percent-encode it as %23")]
    Fragment,
    /// `file:` without a path.
    #[error("it names no file: write file:/var/lib/synaxis/table")]
    Path,
    /// `file://…`: two slashes begin a host name.
    #[error("a file store has no host: write file:PATH without the two slashes, such as file:/var/lib/synaxis/table")]
    FileHost,
    /// `memory:` with something behind it.
    #[error("nothing follows memory:")]
    Memory,
}

impl StoreUrl {
    /// Validates the form; nothing is opened or resolved.
    ///
    /// # Errors
    /// [`InvalidStore`]: what is wrong, without the text.
    pub fn parse(text: &str) -> Result<Self, InvalidStore> {
        if text.len() > STORE_BYTES_MAX {
            return Err(InvalidStore::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidStore::Blank);
        }
        if let Some(rest) = text.strip_prefix("memory:") {
            return if rest.is_empty() { Ok(Self::local(text, Location::Memory)) } else { Err(InvalidStore::Memory) };
        }
        if let Some(path) = text.strip_prefix("file:") {
            return match path {
                _ if path.is_empty() || path.contains("://") => Err(InvalidStore::Path),
                _ if path.starts_with("//") => Err(InvalidStore::FileHost),
                _ => Ok(Self::local(text, Location::File)),
            };
        }
        if text.starts_with("redis://") || text.starts_with("rediss://") {
            return Self::redis(text);
        }
        Err(InvalidStore::Scheme)
    }

    /// [`parse`](Self::parse), of a server only.
    ///
    /// # Errors
    /// [`InvalidStore`]: as there, and for a file or memory.
    pub fn parse_server(text: &str) -> Result<Self, InvalidStore> {
        match Self::parse(text) {
            Ok(store) if store.is_remote() => Ok(store),
            Ok(_) | Err(InvalidStore::Scheme | InvalidStore::Path | InvalidStore::FileHost | InvalidStore::Memory) => {
                Err(InvalidStore::NoServer)
            }
            Err(wrong) => Err(wrong),
        }
    }

    fn local(text: &str, place: Location) -> Self {
        Self { secret: text.into(), shown: text.into(), place }
    }

    fn redis(text: &str) -> Result<Self, InvalidStore> {
        if text.contains(' ') {
            return Err(InvalidStore::Blank);
        }
        let url = Url::parse(text).map_err(|_| InvalidStore::Malformed)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidStore::Host)?;
        if url.fragment().is_some() {
            return Err(InvalidStore::Fragment);
        }
        // a password with a ? in it: what stands before would be taken for the host, and shown
        if url.query().is_some_and(|query| query.contains('@')) {
            return Err(InvalidStore::Malformed);
        }
        let database = url.path().trim_start_matches('/');
        if !database.is_empty() && database.parse::<u16>().is_err() {
            return Err(InvalidStore::Database);
        }
        let user = if url.username().is_empty() && url.password().is_none() { "" } else { "***@" };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let query = if url.query().is_some() { "?***" } else { "" };
        let shown = format!("{}://{user}{host}{port}{}{query}", url.scheme(), url.path());
        Ok(Self { secret: text.into(), shown: shown.into(), place: Location::Server })
    }

    /// The address as written, password and all. For opening the store and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// Whether it is a server that other machines reach too (`redis://`, `rediss://`).
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.place == Location::Server
    }

    /// Whether both are the same database of the same server, as far as their addresses tell.
    pub(crate) fn is_database_of(&self, other: &Self) -> bool {
        let database = |store: &Self| {
            let url = Url::parse(&store.secret).ok().filter(|_| store.is_remote())?;
            let number = url.path().trim_start_matches('/').parse::<u16>().unwrap_or(0);
            Some((url.host_str()?.to_ascii_lowercase(), url.port().unwrap_or(REDIS_PORT), number))
        };
        database(self).is_some_and(|mine| database(other) == Some(mine))
    }

    /// Whether it is a file that other processes of this machine may share.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.place == Location::File
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_shown_without_its_secrets() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("redis://localhost", "redis://localhost"),
            ("redis://:s3cret@cache.example:6380/2", "redis://***@cache.example:6380/2"),
            ("rediss://user:s3cret@[::1]:6380", "rediss://***@[::1]:6380"),
            ("rediss://s3cret@host:1/?password=s3cret", "rediss://***@host:1/?***"),
            ("file:/var/lib/synaxis/table", "file:/var/lib/synaxis/table"),
            ("file:table", "file:table"),
            ("memory:", "memory:"),
        ] {
            let store = StoreUrl::parse(text).unwrap();
            assert_eq!(store.to_string(), shown);
            assert_eq!(store.expose(), text);
            assert_eq!(store.is_remote(), text.starts_with("redis"));
            assert!(!format!("{store:?}").contains("s3cret"), "{store:?}");
        }
    }

    #[test]
    fn a_database_is_known_by_its_host_port_and_number() {
        let store = |text: &str| StoreUrl::parse(text).unwrap();
        for (a, b, expected) in [
            ("redis://h:6379/0", "redis://h", true),
            ("redis://:s3cret@h", "rediss://user:other@H:6379/", true),
            ("redis://h/1", "redis://h/1", true),
            ("redis://[::1]:1", "redis://[::1]:1/0", true),
            ("redis://h/1", "redis://h/2", false),
            ("redis://h:1", "redis://h:2", false),
            ("redis://a", "redis://b", false),
            ("redis://h", "file:h", false),
            ("memory:", "memory:", false),
        ] {
            assert_eq!(store(a).is_database_of(&store(b)), expected, "{a} {b}");
            assert_eq!(store(b).is_database_of(&store(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn where_only_a_server_will_do_nothing_else_is_a_store() {
        for good in ["redis://h", "rediss://:s3cret@h:1/2"] {
            assert_eq!(StoreUrl::parse_server(good).unwrap().expose(), good);
        }
        for bad in ["", "s3cret", "memory:", "memory:x", "file:table", "file:", "file://x", "http://h"] {
            assert_eq!(StoreUrl::parse_server(bad), Err(InvalidStore::NoServer), "{bad:?}");
        }
        assert_eq!(StoreUrl::parse_server("redis://"), Err(InvalidStore::Host));
    }

    #[test]
    fn what_is_no_store_is_refused_without_being_shown() {
        let long = format!("redis://{}", "s3cret".repeat(400));
        for (text, expected) in [
            ("", InvalidStore::Scheme),
            ("s3cret", InvalidStore::Scheme),
            ("REDIS://s3cret@host", InvalidStore::Scheme),
            ("http://s3cret@host", InvalidStore::Scheme),
            ("redis://", InvalidStore::Host),
            ("redis://:s3cret@", InvalidStore::Malformed),
            ("redis://:s3cret@:6379", InvalidStore::Malformed),
            ("redis://:s3cret/x@host:6379", InvalidStore::Malformed),
            ("redis://:s3cret@host:99999", InvalidStore::Malformed),
            ("redis://:s3cret#x@host:6379", InvalidStore::Malformed),
            ("redis://s3cret?x@host", InvalidStore::Malformed),
            ("redis://user:63?x@host", InvalidStore::Malformed),
            ("redis://host/0#s3cret", InvalidStore::Fragment),
            ("redis://host/s3cret", InvalidStore::Database),
            ("redis://host/-1", InvalidStore::Database),
            ("redis://:s3 cret@host", InvalidStore::Blank),
            ("redis://:s3\ncret@host", InvalidStore::Blank),
            ("file:", InvalidStore::Path),
            ("file:///var/lib/s3cret", InvalidStore::FileHost),
            ("file:redis://:s3cret@host", InvalidStore::Path),
            ("memory:s3cret", InvalidStore::Memory),
            (&long, InvalidStore::TooLong),
        ] {
            let error = StoreUrl::parse(text).unwrap_err();
            assert_eq!(error, expected, "{:?}", text.get(..60).unwrap_or(text));
            assert!(!error.to_string().contains("s3cret"));
        }
    }
}
