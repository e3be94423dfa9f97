//! What became of the connections that passed balancers and chaos proxies.

use crate::{
    balancer::{self, Balancer},
    chaos::{self, Chaos},
    report::Relay,
    world::World,
};

/// Every relay of a world, from its begin until now.
pub(super) fn relays(world: &World) -> Vec<Relay> {
    let mut all: Vec<Relay> = world.redis_chaos.iter().map(|chaos| of_chaos("redis", chaos)).collect();
    for stamp in &world.stamps {
        let [edge, peers, app, dependency] =
            ["edge", "peers", "app", "dependency"].map(|part| format!("the {part} of {}", stamp.id));
        all.extend(stamp.edge.iter().map(|balancer| of_balancer(&edge, balancer)));
        all.extend(stamp.peer.iter().map(|balancer| of_balancer(&peers, balancer)));
        all.extend(stamp.peer_chaos.iter().map(|chaos| of_chaos(&peers, chaos)));
        all.extend(stamp.origin_chaos.iter().map(|chaos| of_chaos(&app, chaos)));
        all.extend(stamp.dependency_chaos.iter().map(|chaos| of_chaos(&dependency, chaos)));
    }
    all
}

fn of_balancer(before: &str, balancer: &Balancer) -> Relay {
    let balancer::Counts { passed, nobody_ready, not_taken, above_cap, accept_errors, open } = balancer.counts();
    let name = format!("balancer before {before}");
    Relay { name, relayed: passed, nobody_ready, not_taken, above_cap, accept_errors, open }
}

fn of_chaos(before: &str, chaos: &Chaos) -> Relay {
    let chaos::Counts { taken, above_cap, accept_errors, open } = chaos.counts();
    let name = format!("chaos proxy before {before}");
    Relay { name, relayed: taken, above_cap, accept_errors, open, ..Relay::default() }
}
