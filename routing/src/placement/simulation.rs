//! Simulations over whole fleets.
