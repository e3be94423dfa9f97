//! The scenarios that come with the harness.

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// Names and texts.
        pub const SHIPPED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*];
    };
}

shipped!(
    "steady",
    "seeds-mixed",
    "burst",
    "drain-under-load",
    "rolling-restart",
    "reload-storm",
    "dead-stamp",
    "slow-stamp",
    "noisy-neighbour",
    "poison-tenant",
    "flapping-stamp",
    "partition",
    "degradation",
    "redis-down",
    "redis-hang",
    "table-hostile",
    "slow-clients",
    "websockets",
    "rough-network",
    "soak",
);
