//! The table of a small fleet, as an operator would have made it.

use std::collections::BTreeMap;

use synaxis_routing::{
    change::{Fleet, Register},
    id::{Region, StampId},
    table::{Scope, Seed},
};

/// Active stamps of one region, each with the port of its peer listener on loopback.
pub fn active(stamps: &[(StampId, u16)]) -> Fleet {
    let blank = Fleet::blank(vec![Region::parse("weu").unwrap()], Scope::Region, Seed(7), 16).unwrap();
    stamps.iter().fold(blank, |fleet, (id, port)| {
        let new = Register {
            id: id.clone(),
            endpoint: format!("http://127.0.0.1:{port}"),
            weight: 100,
            dedicated: false,
            labels: BTreeMap::new(),
        };
        fleet.register(new, 1).unwrap().fleet.activate(id, 0, 1).unwrap().fleet
    })
}
