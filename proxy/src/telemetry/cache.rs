//! Metrics of kept answers.
//!
//! Invariant: no label is a tenant's or a client's; classes are those of the settings.

use metrics::{Counter, Gauge};

use super::metrics::Register;

/// How a request of a route with a class was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheResult {
    /// By a kept answer.
    Hit,
    /// By one that another process of the stamp had kept.
    StoreHit,
    /// By a kept answer that was stale.
    Stale,
    /// By one that was fetched for it.
    Miss,
    /// By a kept answer of which the app said that it still holds.
    Revalidated,
    /// By one that another request fetched.
    Collapsed,
    /// Without looking, or by an answer that was not to be kept.
    Bypass,
}

impl CacheResult {
    /// Every result.
    pub const ALL: [Self; 7] =
        [Self::Hit, Self::StoreHit, Self::Stale, Self::Miss, Self::Revalidated, Self::Collapsed, Self::Bypass];

    /// The word of metrics and the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::StoreHit => "store_hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Revalidated => "revalidated",
            Self::Collapsed => "collapsed",
            Self::Bypass => "bypass",
        }
    }
}

/// The handles.
pub struct CacheMetrics {
    /// Answers, notes of URLs among them.
    pub entries: Gauge,
    /// Bytes that they take.
    pub bytes: Gauge,
    /// Fetches under way that several may wait for.
    pub fetches: Gauge,
    /// Bytes of bodies that are coming.
    pub coming: Gauge,
    /// What left to make room.
    pub evicted: Counter,
    /// What left because nobody could use it any more.
    pub expired: Counter,
    /// Answers that came to be kept and found no room, for their tenant or their class.
    pub full: [Counter; 2],
    /// Fetches that took too long for those who waited.
    pub slow: Counter,
    /// Fetches beyond the cap, which nobody shares.
    pub alone: Counter,
    /// Purges that this process has read.
    pub purges: Counter,
    /// Targets that unsafe requests of this process have taken out of use.
    pub marks: Counter,
    /// Tries to tell other processes of them that failed.
    pub append_failures: Counter,
    /// Purges and messages that were not understood.
    pub not_understood: Counter,
    /// Times that everything from before was taken out of use because purges may have been missed.
    pub lost: Counter,
    /// Tenants of which everything was taken out of use for want of room.
    pub widened: Counter,
    /// Purged keys, tags and prefixes that are remembered.
    pub held: Gauge,
    /// 1 while other processes are not heard.
    pub cut_off: Gauge,
    /// Of what processes share.
    pub l2: L2Metrics,
    /// Of requests that were served elsewhere than at their owner.
    pub failover: FailoverMetrics,
}

/// Those of requests that were served elsewhere than at their owner.
pub struct FailoverMetrics {
    /// Notices for other stamps that the routing store does not have yet.
    pub waiting: Gauge,
    /// Tenants whose owner is to look and keep nothing.
    pub absent: Gauge,
    /// Requests for which it does not.
    pub bypassed: Counter,
    /// Notices that the routing store has taken.
    pub told: Counter,
    /// Tries that failed.
    pub tell_failures: Counter,
    /// Times that all tenants came to stand for one for want of room.
    pub widened: Counter,
    /// Notices that nobody will have.
    pub lost: Counter,
    /// Tenants that this stamp was told of.
    pub heard: Counter,
    /// Notices that were not understood.
    pub not_understood: Counter,
    /// Times that notices may have been missed.
    pub gaps: Counter,
    /// Tries to read them that failed.
    pub read_failures: Counter,
}

impl FailoverMetrics {
    fn new(make: &Register<'_>) -> Self {
        Self {
            waiting: make.gauge("cache_failover_waiting", "Notices for other stamps that wait"),
            absent: make.gauge("cache_failover_tenants", "Tenants whose requests went elsewhere than to their owner"),
            bypassed: make.counter("cache_failover_bypassed_total", "Requests that looked for nothing for that reason"),
            told: make.counter("cache_failover_told_total", "Notices that the routing store has taken"),
            tell_failures: make.counter("cache_failover_tell_failures_total", "Tries to tell that failed"),
            widened: make.counter("cache_failover_widened_total", "Times that all tenants stood for one"),
            lost: make.counter("cache_failover_lost_total", "Notices that nobody will have"),
            heard: make.counter("cache_failover_heard_total", "Tenants that were written to elsewhere"),
            not_understood: make.counter("cache_failover_not_understood_total", "Notices that were not understood"),
            gaps: make.counter("cache_failover_gaps_total", "Times that notices may have been missed"),
            read_failures: make.counter("cache_failover_read_failures_total", "Tries to read notices that failed"),
        }
    }
}

impl CacheMetrics {
    pub(super) fn new(make: &Register<'_>) -> Self {
        let full =
            |share| make.counter_with("cache_full_total", "Answers not kept for want of room", &[("share", share)]);
        Self {
            entries: make.gauge("cache_entries", "Kept answers"),
            bytes: make.gauge("cache_bytes", "Bytes of kept answers"),
            fetches: make.gauge("cache_fetches", "Fetches under way that requests may share"),
            coming: make.gauge("cache_coming_bytes", "Bytes of answers that are coming to be kept"),
            evicted: make.counter("cache_evicted_total", "Kept answers that made room"),
            expired: make.counter("cache_expired_total", "Kept answers that nobody could use any more"),
            full: ["tenant", "class"].map(full),
            slow: make.counter("cache_slow_fetches_total", "Fetches that took too long for those who waited"),
            alone: make.counter("cache_unshared_fetches_total", "Fetches beyond the cap"),
            purges: make.counter("cache_purges_total", "Purges read from the cache store"),
            marks: make.counter("cache_purge_marks_total", "Targets that unsafe requests here have taken out of use"),
            append_failures: make.counter("cache_purge_append_failures_total", "Tries to tell of purges that failed"),
            not_understood: make.counter("cache_purges_not_understood_total", "Purges and messages not understood"),
            lost: make.counter("cache_purges_lost_total", "Times that everything from before was taken out of use"),
            widened: make.counter("cache_purge_tenants_widened_total", "Tenants purged whole for want of room"),
            held: make.gauge("cache_purges_held", "Purged keys, tags and prefixes remembered"),
            cut_off: make.gauge("cache_cut_off", "1 while other processes of the stamp are not heard"),
            failover: FailoverMetrics::new(make),
            l2: L2Metrics::new(make),
        }
    }
}

/// Why what is in the store could not be read, as a label.
const UNREADABLE: [&str; 8] = ["too_large", "truncated", "magic", "version", "checksum", "mac", "wrong_key", "unsound"];
/// What became of answers to be written, as a label.
const PUTS: [&str; 4] = ["written", "refused", "dropped", "too_large"];

/// The handles of what the processes of a stamp share.
pub struct L2Metrics {
    /// 1 while nobody asks the store.
    pub away: Gauge,
    /// Workers that are connected to it.
    pub connections: Gauge,
    /// Answers that wait to be written.
    pub queued: Gauge,
    /// Bytes of them.
    pub queued_bytes: Gauge,
    /// Questions to it.
    pub reads: Counter,
    /// Those without an answer in time.
    pub late: Counter,
    /// Those that were not asked because too many were on their way.
    pub busy: Counter,
    /// Calls that it refused, or that were lost.
    pub failures: Counter,
    /// Times that it went away.
    pub outages: Counter,
    /// What became of answers to be written: written, refused by it, dropped for want of room or store, too large.
    pub puts: [Counter; PUTS.len()],
    /// Records that were found and not used, by the reason.
    pub unreadable: [Counter; UNREADABLE.len()],
}

impl L2Metrics {
    fn new(make: &Register<'_>) -> Self {
        let put = |result| make.counter_with("cache_store_writes_total", "Answers to be shared", &[("result", result)]);
        let unreadable = |reason| {
            let help = "Records of the cache store that were found and not used";
            make.counter_with("cache_store_unreadable_total", help, &[("reason", reason)])
        };
        Self {
            away: make.gauge("cache_store_away", "1 while nobody asks the cache store for answers"),
            connections: make.gauge("cache_store_connections", "Workers connected to the cache store"),
            queued: make.gauge("cache_store_queued", "Answers that wait to be written to the cache store"),
            queued_bytes: make.gauge("cache_store_queued_bytes", "Bytes of answers that wait to be written"),
            reads: make.counter("cache_store_reads_total", "Questions to the cache store"),
            late: make.counter("cache_store_late_total", "Questions without an answer in time"),
            busy: make.counter("cache_store_busy_total", "Questions not asked for too many on their way"),
            failures: make.counter("cache_store_failures_total", "Calls that it refused, or that were lost"),
            outages: make.counter("cache_store_outages_total", "Times that the cache store went away"),
            puts: PUTS.map(put),
            unreadable: UNREADABLE.map(unreadable),
        }
    }
}
