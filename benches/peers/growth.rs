//! How the cost of a request grows: with the stamps in the table, with the tenants in the load, with the connections.
//!
//! Invariant: the points of a curve differ in one number alone, and take turns in every round.

use std::time::Duration;

use crate::{
    contestant::{Contestant, Kind},
    load::{Load, Tenants},
    ours::Build,
    peer::{Installed, POOL},
    round::Measured,
    scene::Scene,
    window,
};

mod curve;

pub(crate) use curve::Curve;

/// Stamps in the table.
const STAMPS: [u32; 3] = [10, 100, 1_000];
/// Tenants in the load: powers of ten, see load.lua.
const TENANTS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Keep-alive connections.
const CONNECTIONS: [u32; 5] = [64, 256, 1_024, 4_096, CONNECTIONS_MAX];
/// Most keep-alive connections of a curve.
pub(crate) const CONNECTIONS_MAX: u32 = 10_000;

/// What is measured for one number.
struct Point {
    number: u64,
    contestants: Vec<Contestant>,
    load: Load,
    /// Requests before it counts.
    warm: u64,
}

/// How often and how long.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
    pub(crate) duration: Duration,
    /// Connections where they are not what grows.
    pub(crate) connections: u32,
    /// Most connections for which a proxy can have as many again to the origins.
    pub(crate) pairs: u32,
}

/// All curves of one build; nginx stands beside it where the goal is relative to it.
pub(crate) fn measure(scene: &Scene, build: &Build, nginx: &Installed, effort: Effort) -> anyhow::Result<Vec<Curve>> {
    Ok(vec![
        run("stamps", &stamps(scene, build, effort)?, scene, effort)?,
        run("tenants", &tenants(scene, build, effort)?, scene, effort)?,
        run("connections", &connections(scene, build, nginx, effort)?, scene, effort)?,
    ])
}

/// This proxy is one of them, and the load consists of its own tenants: no request leaves the local path.
fn stamps(scene: &Scene, build: &Build, effort: Effort) -> anyhow::Result<Vec<Point>> {
    let point = |stamps: u32| {
        let (contestant, tenants) = build.among(scene, stamps)?;
        let load = Load::new(&scene.folder, &Tenants::Listed(&tenants), effort.connections, effort.duration)?;
        Ok(Point { number: stamps.into(), contestants: vec![contestant], load, warm: 0 })
    };
    STAMPS.into_iter().map(point).collect()
}

/// Every tenant is seen once before it counts.
fn tenants(scene: &Scene, build: &Build, effort: Effort) -> anyhow::Result<Vec<Point>> {
    let point = |tenants: u64| {
        let contestants = vec![build.alone(scene, Kind::Ours, POOL)?];
        let load = Load::new(&scene.folder, &Tenants::Made(tenants), effort.connections, effort.duration)?;
        Ok(Point { number: tenants, contestants, load, warm: tenants })
    };
    TENANTS.into_iter().map(point).collect()
}

/// Both keep as many upstream connections as clients may have requests in flight: what grows is the number of
/// connections, not how often one to the origin must be opened.
fn connections(scene: &Scene, build: &Build, nginx: &Installed, effort: Effort) -> anyhow::Result<Vec<Point>> {
    let point = |connections: u32| {
        let contestants = vec![
            build.alone(scene, Kind::Ours, CONNECTIONS_MAX)?,
            nginx.contestant(scene, CONNECTIONS_MAX, CONNECTIONS_MAX)?,
        ];
        let load = Load::new(&scene.folder, &Tenants::Prepared, connections, effort.duration)?;
        Ok(Point { number: connections.into(), contestants, load, warm: 0 })
    };
    let numbers = within(effort.pairs);
    if numbers.last() != CONNECTIONS.last() {
        eprintln!("the limit on open files here ends the curve at {} connections: see `ulimit -Hn`", effort.pairs);
    }
    numbers.into_iter().map(point).collect()
}

/// The numbers of connections up to a limit, and it instead of the rest.
fn within(pairs: u32) -> Vec<u32> {
    let mut numbers: Vec<u32> = CONNECTIONS.into_iter().map(|number| number.min(pairs)).collect();
    numbers.dedup();
    numbers
}

fn run(of: &'static str, points: &[Point], scene: &Scene, effort: Effort) -> anyhow::Result<Curve> {
    let mut rounds = Vec::new();
    for index in 1..=effort.rounds {
        let mut round: Vec<Vec<Measured>> = Vec::new();
        for point in points {
            let mut at = Vec::new();
            for contestant in &point.contestants {
                let measured = window::measure(contestant, &point.load, &scene.origin, point.warm)?;
                measured.tell(&format!("{} {of}, round {index}", point.number), &contestant.name);
                at.push(measured);
            }
            round.push(at);
        }
        rounds.push(round);
    }
    let names = points[0].contestants.iter().map(|contestant| contestant.name.clone()).collect();
    Ok(Curve::new(of, names, points.iter().map(|point| point.number).collect(), &rounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_ends_where_descriptors_do() {
        assert_eq!(within(u32::MAX), CONNECTIONS);
        assert_eq!(within(9_500), [64, 256, 1_024, 4_096, 9_500]);
        assert_eq!(within(1_024), [64, 256, 1_024]);
    }
}
