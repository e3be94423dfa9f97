//! What must never happen, whoever asks for it: one named test a line of the design's list.
//!
//! Each of these holds today; each names the way in that it closes.

mod amplification;
mod crosstalk;
mod early;
mod pair;
mod smuggling;
mod table;
mod talk;
