//! The facts of one request. Stages write, telemetry reads; it closes when the answer's body ends or is dropped.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use synaxis_routing::{degradation::Level, id::TenantId, version::Version};

use crate::telemetry::{access_log::AccessLog, metrics::Metrics};

/// What every request of one worker reports to.
pub struct Sink {
    /// The server's metrics.
    pub metrics: Arc<Metrics>,
    /// The access log, when it is on.
    pub access_log: Option<AccessLog>,
    /// Requests in flight on this worker, which alone writes it; the acceptor reads it.
    pub in_flight: Arc<AtomicUsize>,
    /// Requests answered by this worker so far, which alone writes it.
    pub answered: Arc<AtomicUsize>,
}

/// Changes a number that only one thread writes: no locked instruction.
fn change(number: &AtomicUsize, change: impl FnOnce(usize) -> usize) {
    number.store(change(number.load(Ordering::Relaxed)), Ordering::Relaxed);
}

/// The facts of one request.
pub struct Record {
    sink: Rc<Sink>,
    started: Instant,
    counted: bool,
    /// Status of the answer.
    pub status: u16,
    /// Bytes of the answer's body so far.
    pub bytes: u64,
    /// Attempts made upstream.
    pub attempts: u8,
    /// The level of degradation by which this stamp served or refused it; `None` when it did neither.
    pub degradation: Option<Level>,
    /// Only filled when the request is logged.
    pub line: Option<Box<Line>>,
}

/// What the log line says beyond the metrics. Field names are public.
#[derive(Default, Serialize)]
pub struct Line {
    /// Milliseconds since the Unix epoch at the end.
    pub ts: u64,
    /// W3C trace id, from `traceparent`.
    pub trace_id: Option<String>,
    /// Request method.
    pub method: String,
    /// Host as received.
    pub host: Option<String>,
    /// Path without its query: queries carry secrets.
    pub path: String,
    /// Status of the answer.
    pub status: u16,
    /// Bytes of its body.
    pub bytes: u64,
    /// Bytes that a WebSocket's client sent through it; null for everything else.
    pub tunnel_bytes_up: Option<u64>,
    /// Start to end, in milliseconds.
    pub duration_ms: f64,
    /// Start to the upstream's head, in milliseconds.
    pub ttfb_ms: Option<f64>,
    /// The tenant, once it is valid.
    pub tenant: Option<TenantId>,
    /// The stamp that answered.
    pub stamp: Option<String>,
    /// Table version of the decision.
    pub epoch: Option<String>,
    /// 1 when another stamp sent it here.
    pub hop: u8,
    /// Route name.
    pub route: Option<String>,
    /// Attempts upstream.
    pub attempts: u8,
    /// Level of degradation by which this stamp served or refused it.
    pub degradation: Option<&'static str>,
    /// How a request of a route with a class of kept answers was answered; null for others.
    pub cache: Option<&'static str>,
    /// Reason token of a local reply.
    pub reason: Option<&'static str>,
    /// The limit that refused it here.
    pub limit: Option<Arc<str>>,
    /// Who counted then: `store`, `process`, `share`, `nobody`, or `entry`, which remembered another stamp's refusal.
    pub limit_counted_by: Option<&'static str>,
    /// Client address.
    pub client: String,
    /// `edge` or `peer`.
    pub listener: &'static str,
}

impl Line {
    /// Notes the version of the table that decided.
    pub fn decided_at(&mut self, version: Version) {
        self.epoch = Some(version.to_string());
    }
}

impl Record {
    /// Opens the record of a request that began at `started`.
    pub fn open(sink: &Rc<Sink>, started: Instant) -> Self {
        change(&sink.in_flight, |count| count.wrapping_add(1));
        let sink = Rc::clone(sink);
        Self { sink, started, counted: false, status: 0, bytes: 0, attempts: 0, degradation: None, line: None }
    }

    /// A record of something that is no client's request: nobody counts or logs it.
    pub fn aside(sink: &Rc<Sink>, started: Instant) -> Self {
        let sink = Rc::clone(sink);
        Self { sink, started, counted: true, status: 0, bytes: 0, attempts: 0, degradation: None, line: None }
    }

    /// When the request's head was there.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Counts the request as answered although its record stays open: what follows on its connection, such as a
    /// WebSocket, is no request, and would make every duration look like hours.
    pub fn count(&mut self) {
        let elapsed = self.started.elapsed();
        self.count_once(elapsed);
    }

    fn count_once(&mut self, elapsed: Duration) {
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        let sink = &self.sink;
        change(&sink.in_flight, |count| count.wrapping_sub(1));
        change(&sink.answered, |count| count.wrapping_add(1));
        sink.metrics.ended(self.status);
        sink.metrics.server_duration.record(elapsed.as_secs_f64());
    }

    /// Notes for the log that an answer's head is there at `now`.
    pub fn first_byte(&mut self, now: Instant) {
        let Some(line) = &mut self.line else { return };
        line.ttfb_ms = Some(now.duration_since(self.started).as_secs_f64() * 1e3);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        self.count_once(elapsed);
        let (Some(mut line), Some(log)) = (self.line.take(), &self.sink.access_log) else { return };
        line.ts = std::time::UNIX_EPOCH
            .elapsed()
            .map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            .unwrap_or_default();
        line.status = self.status;
        line.bytes = self.bytes;
        line.duration_ms = elapsed.as_secs_f64() * 1e3;
        line.attempts = self.attempts;
        line.degradation = self.degradation.map(Level::as_str);
        // every field is a number or text, so this cannot fail; an empty line would still be better than a panic
        log.write(serde_json::to_string(&line).unwrap_or_default());
    }
}
