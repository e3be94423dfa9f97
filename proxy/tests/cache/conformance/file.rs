//! How the cases are written.
//!
//! A case is a list of exchanges with one origin that has scripted answers; the first finds an empty store for its
//! target. Every case has a path of its own, and the `path` of an exchange stands behind it. In fields, `{-60}` is the
//! date 60 seconds before the case began, `{850:-60}` and `{asctime:-60}` the same in the old forms, `{lower:-60}` in
//! small letters, `{path}` the path of the case, `{authority}` that of the request.
//!
//! The origin adds to its answer nothing but `Content-Length`. It answers each try of an exchange in the same way; a
//! body that the file does not give is `answer N`, for the exchange N from 1, so that it is seen whose the body is. A
//! request with `Content-Length: N` has N bytes of body.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// A sentence.
    pub(super) name: String,
    /// The text that demands it.
    pub(super) section: String,
    /// Of `classes.toml`.
    #[serde(default = "plain")]
    pub(super) class: String,
    pub(super) exchanges: Vec<Exchange>,
}

/// A request, what the origin would answer, and what the client gets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Exchange {
    /// Seconds that pass before it.
    pub(super) wait_s: u64,
    /// Who asks, as far as that is verified.
    pub(super) user: Option<String>,
    pub(super) method: String,
    /// Behind the path of the case.
    pub(super) path: String,
    /// Of the request, `Name: value`.
    pub(super) fields: Vec<String>,
    /// The origin's; 304 when it is asked whether a stored answer holds, else 200.
    pub(super) status: Option<u16>,
    /// The origin's fields.
    pub(super) answer: Vec<String>,
    pub(super) body: Option<String>,
    /// The origin closes the connection instead.
    pub(super) fails: bool,
    /// What the origin answers if it is asked once more without conditions.
    pub(super) again: Option<Again>,
    pub(super) gets: Gets,
    /// The client's status, where it is not that of the answer.
    pub(super) client: Option<u16>,
    /// Whose answer the store has: the number of an exchange.
    pub(super) of: usize,
    /// The bytes that the client gets of the body, `FROM-TO`.
    pub(super) part: Option<String>,
    /// `Age` is there and no less, and less than a minute more.
    pub(super) age: Option<u32>,
    /// Fields that the client gets: `Name`, or `Name: value` for one line.
    pub(super) has: Vec<String>,
    /// Fields or lines that the client does not get.
    pub(super) lacks: Vec<String>,
    /// Fields that the origin sees. Without them it sees no condition that the client has not sent.
    pub(super) saw: Vec<String>,
    /// Fields that the origin does not see.
    pub(super) unseen: Vec<String>,
    /// What `Cache-Status` says: each is the beginning of the cache's name or of a parameter.
    pub(super) told: Vec<String>,
}

/// Another answer of the origin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Again {
    pub(super) status: u16,
    pub(super) answer: Vec<String>,
    pub(super) body: String,
}

/// From where the client gets its answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Gets {
    /// The origin is asked, and its answer goes out.
    #[default]
    Origin,
    /// The origin is not asked.
    Store,
    /// The origin is asked whether the stored answer holds; it says 304, and the stored answer goes out.
    Validated,
    /// The origin is asked and fails; the stored answer goes out.
    Stale,
    /// The stored answer goes out, and the origin is asked at the same time; what follows waits until it has answered.
    Behind,
    /// Neither: the cache has none and does not ask.
    Nothing,
    /// The origin is asked and fails, and the client is told so.
    Failure,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            wait_s: 0,
            user: None,
            method: "GET".to_owned(),
            path: String::new(),
            fields: Vec::new(),
            status: None,
            answer: Vec::new(),
            body: None,
            fails: false,
            again: None,
            gets: Gets::Origin,
            client: None,
            of: 1,
            part: None,
            age: None,
            has: Vec::new(),
            lacks: Vec::new(),
            saw: Vec::new(),
            unseen: Vec::new(),
            told: Vec::new(),
        }
    }
}

impl Exchange {
    /// The origin's status, when it is asked for the first time.
    pub(super) fn origin_status(&self) -> u16 {
        let holds = matches!(self.gets, Gets::Validated | Gets::Behind);
        self.status.unwrap_or(if holds { 304 } else { 200 })
    }

    /// The origin's body, when it is asked for the first time; none with a 204 or a 304.
    pub(super) fn origin_body(&self, number: usize) -> String {
        match self.origin_status() {
            204 | 304 => String::new(),
            _ => self.body.clone().unwrap_or_else(|| format!("answer {number}")),
        }
    }

    /// Status and body of the origin's last answer.
    pub(super) fn last(&self, number: usize) -> (u16, String) {
        match &self.again {
            Some(again) => (again.status, again.body.clone()),
            None => (self.origin_status(), self.origin_body(number)),
        }
    }
}

/// A class of `classes.toml`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Class {
    #[serde(deserialize_with = "duration")]
    pub(super) ttl: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) default_ttl: Duration,
    pub(super) heuristic: bool,
    #[serde(deserialize_with = "duration")]
    pub(super) stale_while_revalidate: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) stale_if_error: Duration,
    pub(super) request_directives: bool,
    authorization: Whose,
}

impl Class {
    pub(super) fn is_per_user(&self) -> bool {
        self.authorization == Whose::PerUser
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Whose {
    #[default]
    Rfc,
    PerUser,
}

fn plain() -> String {
    "plain".to_owned()
}

fn duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let written = String::deserialize(from)?;
    let (number, unit) = written.split_at(written.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(serde::de::Error::custom(format!("{written} is no duration"))),
    };
    Ok(Duration::from_secs(number.parse::<u64>().map_err(serde::de::Error::custom)? * seconds))
}

/// The cases of a file.
pub(super) fn cases(toml: &str) -> Vec<Case> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        case: Vec<Case>,
    }
    let file: File = toml::from_str(toml).unwrap_or_else(|error| panic!("{error}"));
    file.case
}

/// The classes, as a configuration has them.
pub(super) fn classes() -> BTreeMap<String, Class> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        cache: Cache,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Cache {
        classes: BTreeMap<String, Class>,
    }
    let file: File = toml::from_str(include_str!("classes.toml")).unwrap_or_else(|error| panic!("{error}"));
    file.cache.classes
}

/// A field with its placeholders filled in.
pub(super) struct Filled<'a> {
    /// When the case began, in seconds since the epoch.
    pub(super) began: u64,
    pub(super) path: &'a str,
    pub(super) authority: &'a str,
}

impl Filled<'_> {
    pub(super) fn line(&self, written: &str) -> (String, String) {
        let (name, value) = written.split_once(':').unwrap_or((written, ""));
        (name.to_owned(), self.text(value.trim()))
    }

    pub(super) fn text(&self, written: &str) -> String {
        let Some((before, rest)) = written.split_once('{') else { return written.to_owned() };
        let (inside, after) = rest.split_once('}').unwrap_or_else(|| panic!("{written}: no end of a placeholder"));
        let value = match inside.split_once(':') {
            _ if inside == "path" => self.path.to_owned(),
            _ if inside == "authority" => self.authority.to_owned(),
            None => self.date(inside),
            Some(("lower", offset)) => self.date(offset).to_lowercase(),
            Some(("850", offset)) => rfc850(&self.date(offset)),
            Some(("asctime", offset)) => asctime(&self.date(offset)),
            Some((other, _)) => panic!("{written}: {other} is no placeholder"),
        };
        format!("{before}{value}{}", self.text(after))
    }

    fn date(&self, offset: &str) -> String {
        let offset: i64 = offset.parse().unwrap_or_else(|_| panic!("{offset} is no placeholder"));
        let at = std::time::UNIX_EPOCH + Duration::from_secs(self.began.saturating_add_signed(offset));
        httpdate::fmt_http_date(at)
    }
}

/// `Sunday, 06-Nov-94 08:49:37 GMT` from `Sun, 06 Nov 1994 08:49:37 GMT`.
fn rfc850(date: &str) -> String {
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let day = days.into_iter().find(|day| day.starts_with(&date[..3])).unwrap();
    format!("{day}, {}-{}-{} {}", &date[5..7], &date[8..11], &date[14..16], &date[17..])
}

/// `Sun Nov  6 08:49:37 1994` from `Sun, 06 Nov 1994 08:49:37 GMT`.
fn asctime(date: &str) -> String {
    let day: u8 = date[5..7].parse().unwrap();
    format!("{} {} {day:2} {} {}", &date[..3], &date[8..11], &date[17..25], &date[12..16])
}
