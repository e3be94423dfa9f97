//! Label values of metrics that say why. Closed enums: no label comes from a request, and each handle is resolved once.

/// Why the sweeper ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Nothing was ever sent on it.
    FirstByte,
    /// Half a head.
    Head,
    /// A request's body stopped coming, or came too slowly.
    Body,
    /// The client took nothing of what waited for it.
    WriteStall,
    /// An answer stood still, and it was not the client that held it up.
    AnswerIdle,
    /// No further request.
    Idle,
    /// Idle for longer than clients keep connections, while the process drains.
    Drain,
    /// What it still sent after an early answer was read and dropped for long enough.
    Linger,
    /// No byte either way in a WebSocket.
    TunnelIdle,
    /// The route's time for the whole answer was over.
    Total,
}

impl Expired {
    /// The values of the label `reason`, in the order of the variants.
    pub const LABELS: [&str; 10] = [
        "first_byte_timeout",
        "head_timeout",
        "body_timeout",
        "write_stall",
        "body_idle",
        "idle",
        "drain",
        "linger",
        "tunnel_idle",
        "total",
    ];

    /// Its value of the label.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// Why the acceptor closed a connection at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There are as many as the cap of its kind of listener and the reserve allow.
    Cap,
    /// There are as many from its address as `server.connections_per_address` allows.
    Address,
}

impl Refused {
    /// The values of the label `reason`, in the order of the variants.
    pub const LABELS: [&str; 2] = ["cap", "address"];
}

/// Why the HTTP library refused a head before a request existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRefused {
    /// It is no HTTP/1 request.
    Parse,
    /// It has more than 100 fields or more than 64 KiB.
    TooLarge,
    /// It begins HTTP/2, which is not spoken here.
    Http2,
}

impl HeadRefused {
    /// The values of the label `reason`, in the order of the variants.
    pub const LABELS: [&str; 3] = ["parse", "too_large", "http2"];

    /// Its value of the label.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// What the end of the process cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A request without its whole answer, or the beginning of one.
    Request,
    /// A WebSocket.
    Tunnel,
    /// A connection that its client might have used once more.
    IdleConnection,
}

impl Cut {
    /// The values of the label `kind`, in the order of the variants.
    pub const LABELS: [&str; 3] = ["request", "tunnel", "idle_connection"];
}

/// Who is asked whether it is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An endpoint of an app of this stamp.
    App,
    /// Another stamp.
    Peer,
    /// What the apps lean on.
    Dependency,
}

impl Asked {
    /// The label values, in order.
    pub const LABELS: [&'static str; 3] = ["app", "peer", "dependency"];
}
