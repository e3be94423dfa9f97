//! Connections of each client address, counted while there are any.
//!
//! Invariant: an address has an entry only as long as one of its connections is open, so the map is never larger than the
//! number of connections. Touched when a connection begins and when it ends, never by a request.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The counts.
#[derive(Debug, Default)]
pub struct Seats(Mutex<HashMap<IpAddr, usize>>);

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    group: IpAddr,
}

impl Seats {
    /// A place for a connection from `address`, if that address has fewer than `most`.
    #[must_use]
    pub fn take(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Seat> {
        let group = group(address);
        let mut counts = self.lock();
        let taken = counts.get(&group).copied().unwrap_or(0);
        if taken >= most {
            return None;
        }
        counts.insert(group, taken + 1);
        Some(Seat { seats: Arc::clone(self), group })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.seats.lock().entry(self.group) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Who counts as one: an IPv4 address, however it is written, or the /64 of an IPv6 address, which one host has to itself.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_seats_and_no_more_and_leaves_nothing_behind() {
        let seats = Arc::new(Seats::default());
        let first = seats.take(ip("192.0.2.1"), 2);
        let second = seats.take(ip("::ffff:192.0.2.1"), 2);
        assert!(first.is_some() && second.is_some());
        assert!(seats.take(ip("192.0.2.1"), 2).is_none(), "the mapped form is the same address");
        let other = seats.take(ip("192.0.2.2"), 2);
        assert!(other.is_some());
        drop(first);
        assert!(seats.take(ip("192.0.2.1"), 2).is_some(), "a seat that is left is free");
        drop((second, other));
        assert!(seats.lock().is_empty());
        assert!(seats.take(ip("192.0.2.1"), 0).is_none());
    }

    #[test]
    fn a_host_with_many_addresses_of_version_6_counts_once() {
        let seats = Arc::new(Seats::default());
        let _first = seats.take(ip("2001:db8:1:2::1"), 1).unwrap();
        assert!(seats.take(ip("2001:db8:1:2:ffff:ffff:ffff:ffff"), 1).is_none());
        assert!(seats.take(ip("2001:db8:1:3::1"), 1).is_some());
    }
}
