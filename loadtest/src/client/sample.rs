//! What became of each request.

use std::collections::HashMap;

/// Index of `ok` in [`Names`].
pub const OK: u16 = 0;

/// Outcome of a request for which the generator's own machine had no socket: no word on the server.
pub const NO_SOCKET: &str = "no_socket";

/// What became of one request. Times are microseconds since the begin of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Its number and unique id.
    pub id: u64,
    /// When it was to begin.
    pub intended: u64,
    /// When the generator got to it: it was about to be written, or began to wait for a connection. The difference is
    /// the generator's lag.
    pub launched: u64,
    /// When it had its connection, or gave up waiting for one.
    pub begun: u64,
    /// When the last byte of its answer was there, or it failed.
    pub ended: u64,
    /// Index of its tenant.
    pub tenant: u32,
    /// Whether it writes.
    pub writes: bool,
    /// Index of its entry.
    pub entry: u16,
    /// How it ended: index into [`Samples::outcomes`].
    pub outcome: u16,
    /// Who answered: index into [`Samples::stamps`]; 0 for nobody.
    pub stamp: u16,
    /// Who had the answer, if the request is for a shared resource; `None` for the others.
    pub source: Option<Source>,
}

/// Who had the answer to a request for a shared resource, by what the proxy says (`Cache-Status`, RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The memory of the proxy's process.
    Memory,
    /// What the processes of its stamp share.
    Store,
    /// Another request that was under way.
    Collapsed,
    /// The app, or nobody.
    App,
}

/// How a request ended, before it is given its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As the workload wanted.
    Answered,
    /// With another status; a reason token if the answer had one.
    Refused {
        /// The status.
        status: u16,
        /// The token.
        reason: Option<String>,
    },
    /// The answer was not this request's.
    CrossTalk,
    /// Without a whole answer, in one word: `connect_refused`, `reset`, `closed`, `cut`, `timeout`, `backlog`,
    /// `goodbye`, `abandoned`, [`NO_SOCKET`], …
    Broken(&'static str),
}

/// What a client does without a word, as any client would, and what may hide a server's fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silent {
    /// Kept connections opened during the load, in place of others that had ended.
    pub opened_again: u64,
    /// Requests sent again because nothing of them had left, or the server said that it had not looked at them.
    pub sent_again: u64,
}

/// How busy a thread of the client was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Busy {
    /// Second of the load.
    pub second: u32,
    /// Share of the time in which it ran or waited for a core, 0 to 1. Near 1 it was never idle: what it measured then
    /// is itself.
    pub share: f64,
}

/// Most names of outcomes: each has a histogram of its own in the report.
const OUTCOMES_MAX: u16 = 100;

/// Most names of stamps.
const STAMPS_MAX: u16 = 65_000;

/// Strings and their indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    list: Vec<String>,
    index: HashMap<String, u16>,
    most: u16,
}

impl Names {
    /// So many at most, the first of which is `first`; those past them share `others`.
    fn up_to(most: u16, first: &str) -> Self {
        let mut names = Self { list: Vec::new(), index: HashMap::new(), most };
        names.index(first);
        names
    }

    /// The index of a name, given when it is first seen.
    pub fn index(&mut self, name: &str) -> u16 {
        // few names, asked for with every answer: the first ones are found without a hash
        if let Some(at) = self.list.iter().take(8).position(|known| known == name) {
            return u16::try_from(at).unwrap_or_default();
        }
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        let name = if self.list.len() >= usize::from(self.most) { "others" } else { name };
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        let index = u16::try_from(self.list.len()).unwrap_or(u16::MAX);
        self.list.push(name.to_owned());
        self.index.insert(name.to_owned(), index);
        index
    }

    /// The name with an index.
    #[must_use]
    pub fn name(&self, index: u16) -> &str {
        self.list.get(usize::from(index)).map_or("", String::as_str)
    }

    /// All names in the order of their indices.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.list
    }
}

/// What became of all requests.
#[derive(Clone, Debug)]
pub struct Samples {
    /// One a request.
    pub samples: Vec<Sample>,
    /// Names of outcomes; the first is `ok`.
    pub outcomes: Names,
    /// Ids of the stamps that answered; the first is empty and stands for nobody.
    pub stamps: Names,
    /// Connections on which more came than the answer: the request before it, `None` before the first.
    pub surplus: Vec<Option<u64>>,
    /// One a second and thread, if the kernel tells.
    pub busy: Vec<Busy>,
    /// What a client does without a word.
    pub silent: Silent,
}

impl Default for Samples {
    fn default() -> Self {
        let (outcomes, stamps) = (Names::up_to(OUTCOMES_MAX, "ok"), Names::up_to(STAMPS_MAX, ""));
        Self { samples: Vec::new(), outcomes, stamps, surplus: Vec::new(), busy: Vec::new(), silent: Silent::default() }
    }
}

impl Samples {
    /// The index of an end.
    pub fn outcome(&mut self, end: &End) -> u16 {
        match end {
            End::Answered => OK,
            End::Refused { status, reason: Some(reason) } => self.outcomes.index(&format!("{status} {reason}")),
            End::Refused { status, reason: None } => self.outcomes.index(&status.to_string()),
            End::CrossTalk => self.outcomes.index("cross_talk"),
            End::Broken(how) => self.outcomes.index(how),
        }
    }

    /// Takes another thread's in, under this one's indices.
    pub fn merge(&mut self, other: Self) {
        let outcomes: Vec<u16> = other.outcomes.all().iter().map(|name| self.outcomes.index(name)).collect();
        let stamps: Vec<u16> = other.stamps.all().iter().map(|name| self.stamps.index(name)).collect();
        self.surplus.extend(other.surplus);
        self.busy.extend(other.busy);
        self.silent.opened_again += other.silent.opened_again;
        self.silent.sent_again += other.silent.sent_again;
        let new = |map: &[u16], old: u16| map.get(usize::from(old)).copied().unwrap_or_default();
        self.samples.extend(other.samples.into_iter().map(|sample| Sample {
            outcome: new(&outcomes, sample.outcome),
            stamp: new(&stamps, sample.stamp),
            ..sample
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_kept_in_as_few_bytes_as_the_readme_says() {
        assert_eq!(size_of::<Sample>(), 56);
    }

    #[test]
    fn outcomes_past_the_hundredth_share_a_name_and_stamps_do_not() {
        let (mut one, mut two) = (Samples::default(), Samples::default());
        for status in 0..150 {
            let refused = End::Refused { status, reason: Some("made up".into()) };
            let (early, index) = (status < 99, one.outcome(&refused));
            assert_eq!(one.outcomes.name(index), if early { format!("{status} made up") } else { "others".into() });
            two.outcome(&End::Refused { status: 900 + status, reason: None });
            one.stamps.index(&status.to_string());
        }
        one.merge(two);
        assert_eq!((one.outcomes.all().len(), one.stamps.all().len()), (101, 151));
    }

    #[test]
    fn merging_keeps_names_with_their_samples() {
        let sample = |id, outcome, stamp| Sample {
            id,
            intended: 0,
            launched: 0,
            begun: 0,
            ended: 0,
            tenant: 0,
            writes: false,
            entry: 0,
            outcome,
            stamp,
            source: None,
        };
        let (mut one, mut two) = (Samples::default(), Samples::default());
        let refused = End::Refused { status: 503, reason: Some("no_stamp".into()) };
        let (reset, refused_one) = (one.outcome(&End::Broken("reset")), one.outcome(&refused));
        let refused_two = two.outcome(&refused);
        assert_ne!(refused_one, refused_two);
        let (a, b) = (one.stamps.index("a"), two.stamps.index("b"));
        one.samples = vec![sample(0, reset, a), sample(1, refused_one, a)];
        two.samples = vec![sample(2, refused_two, b), sample(3, OK, 0)];
        one.merge(two);
        let seen: Vec<(&str, &str)> =
            one.samples.iter().map(|s| (one.outcomes.name(s.outcome), one.stamps.name(s.stamp))).collect();
        assert_eq!(seen, [("reset", "a"), ("503 no_stamp", "a"), ("503 no_stamp", "b"), ("ok", "")]);
    }
}
