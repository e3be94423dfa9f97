//! Load and faults for worlds of real processes, and a verdict that can be trusted.
//!
//! Read in this order: [`arrival`] (when requests begin), [`workload`] (what they are), [`echo`] (how an answer proves
//! whose it is), [`client`] (sends them), [`origin`] (the app that answers and records), [`world`] (real processes),
//! [`balancer`] and [`chaos`] (what stands between them), [`fault`] (what is done to them), [`oracle`] (compares both
//! ends), [`scenario`] (all of that in a file), [`run`] (from begin to verdict), [`report`],
//! [`highest`] (the rate at which it still passes).

pub mod arrival;
pub mod balancer;
pub mod chaos;
pub mod client;
pub mod descriptors;
pub mod echo;
pub mod fault;
pub mod highest;
pub mod oracle;
pub mod origin;
pub mod quantity;
pub mod report;
pub mod run;
pub mod scenario;
pub mod workload;
pub mod world;
