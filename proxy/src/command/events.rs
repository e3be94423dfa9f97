//! Where events go, and the filter that `/loglevel` changes while the process runs.

use std::{
    io::IsTerminal as _,
    sync::{Arc, Mutex, PoisonError},
};

use synaxis_proxy::admin::LogFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use super::arguments::LogFormat;

/// Writes the events of this process to standard error from now on.
pub(crate) fn begin(format: LogFormat, shown: String, filter: EnvFilter) -> Arc<dyn LogFilter> {
    let (filter, handle) = reload::Layer::new(filter);
    let events = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let events = match format {
        LogFormat::Text => events.boxed(),
        LogFormat::Json => events.json().boxed(),
        LogFormat::Logfmt => {
            let fields = tracing_logfmt::FieldsFormatter::default();
            events.event_format(tracing_logfmt::EventsFormatter::default()).fmt_fields(fields).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(events).init();
    Arc::new(Events { handle, shown: Mutex::new(shown) })
}

struct Events {
    handle: reload::Handle<EnvFilter, Registry>,
    /// As it was last set.
    shown: Mutex<String>,
}

impl LogFilter for Events {
    fn current(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, filter: &str) -> Result<(), String> {
        let understood = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        self.handle.reload(understood).map_err(|error| error.to_string())?;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = filter.to_owned();
        Ok(())
    }
}
