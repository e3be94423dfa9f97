//! What each request is: tenant, method, sizes, the connection it takes.
//!
//! Invariant: a request follows from the seed and its number alone, whichever thread sends it and whatever came before.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_distr::Zipf;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

/// The mix of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Tenants.
    pub tenants: u32,
    /// Exponent of the Zipf distribution over tenants; 0: all alike.
    pub zipf: f64,
    /// Share of requests that only read (GET); the others are POSTs with a body.
    pub reads: f64,
    /// Sizes of answers in bytes, with how often each occurs relative to the others.
    pub answers: Vec<Size>,
    /// Sizes of uploads.
    pub uploads: Vec<Size>,
    /// Share of requests that open a connection of their own and close it.
    pub new_connections: f64,
    /// Share of requests that are a WebSocket with three messages each way.
    pub websockets: f64,
    /// Share of the other requests that go over HTTP/2 with prior knowledge.
    pub http2: f64,
    /// Reads of what others of the tenant read as well.
    pub shared: Shared,
}

/// Reads of a tenant's resources: GETs of their own paths, whose answers may be kept and given to others of the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shared {
    /// Share of the requests that only read, WebSockets apart.
    pub share: f64,
    /// Resources of each tenant.
    pub resources: u32,
    /// Exponent of the Zipf distribution over a tenant's resources; 0: all alike.
    pub zipf: f64,
}

impl Default for Shared {
    /// None; where there are some, of 20 by Zipf's law.
    fn default() -> Self {
        Self { share: 0.0, resources: 20, zipf: 1.0 }
    }
}

impl Mix {
    /// Whether some of its requests take a kept HTTP/1.1 connection.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.new_connections + self.websockets < 1.0 && self.http2 < 1.0
    }
}

/// A size and its weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Bytes.
    pub bytes: u32,
    /// How often, relative to the others.
    pub weight: f64,
}

impl Default for Mix {
    /// 1,000 tenants by Zipf's law, reads to writes 80:20, answers of a kibibyte, uploads of 256 bytes, kept connections.
    fn default() -> Self {
        Self {
            tenants: 1_000,
            zipf: 1.0,
            reads: 0.8,
            answers: vec![Size { bytes: 1_024, weight: 1.0 }],
            uploads: vec![Size { bytes: 256, weight: 1.0 }],
            new_connections: 0.0,
            websockets: 0.0,
            http2: 0.0,
            shared: Shared::default(),
        }
    }
}

/// The connection that a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A kept one from the pool.
    Kept,
    /// A kept HTTP/2 connection that others use at the same time.
    Http2,
    /// One of its own.
    New,
    /// One of its own that becomes a WebSocket.
    WebSocket,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which tenant, from 0; see [`tenant`].
    pub tenant: u32,
    /// Whether it writes: a POST, which must not run twice.
    pub writes: bool,
    /// Bytes it uploads.
    pub upload: u32,
    /// Bytes its answer has.
    pub answer: u32,
    /// Chooses the entry: modulo their number.
    pub entry: u32,
    /// Its connection.
    pub carrier: Carrier,
    /// Which of the tenant's shared resources it reads, from 0, if it reads one.
    pub resource: Option<u32>,
}

/// A tenant's id.
#[must_use]
pub fn tenant(index: u32) -> String {
    format!("tenant-{index:04}")
}

/// Draws requests by number.
#[derive(Clone, Debug)]
pub struct Workload {
    mix: Mix,
    tenants: Option<Zipf<f64>>,
    resources: Option<Zipf<f64>>,
    seed: u64,
    /// From which number on which share of the requests is the first tenant's, in the order of the numbers.
    noise: Vec<(u64, f64)>,
}

impl Workload {
    /// A workload from a mix that [`check`] found sound.
    #[must_use]
    pub fn new(mix: Mix, seed: u64) -> Self {
        let tenants = Zipf::new(f64::from(mix.tenants.max(1)), mix.zipf).ok();
        let resources = Zipf::new(f64::from(mix.shared.resources.max(1)), mix.shared.zipf).ok();
        Self { mix, tenants, resources, seed, noise: Vec::new() }
    }

    /// The same with a first tenant that has, from each of these numbers on, this share of the requests beside its own.
    #[must_use]
    pub fn with_noise(mut self, noise: Vec<(u64, f64)>) -> Self {
        self.noise = noise;
        self
    }

    fn noisy(&self, number: u64) -> f64 {
        let begun = self.noise.iter().rev().find(|(first, _)| *first <= number);
        begun.map_or(0.0, |(_, share)| *share)
    }

    /// The request with this number.
    #[must_use]
    pub fn request(&self, number: u64) -> Request {
        // the golden ratio keeps neighbours apart; xoshiro's own seeding mixes the rest
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let tenant = draw(self.tenants, &mut rng);
        let carrier = match rng.random::<f64>() {
            draw if draw < self.mix.websockets => Carrier::WebSocket,
            draw if draw < self.mix.websockets + self.mix.new_connections => Carrier::New,
            _ if rng.random::<f64>() < self.mix.http2 => Carrier::Http2,
            _ => Carrier::Kept,
        };
        let writes = carrier != Carrier::WebSocket && rng.random::<f64>() >= self.mix.reads;
        let upload = if writes { pick(&self.mix.uploads, rng.random()) } else { 0 };
        let answer = pick(&self.mix.answers, rng.random());
        let entry = rng.next_u32();
        // drawn last, so that the others are what they would be without it
        let noisy = self.noisy(number);
        let tenant = if noisy > 0.0 && rng.random::<f64>() < noisy { 0 } else { tenant };
        let Shared { share, .. } = self.mix.shared;
        let shares = share > 0.0 && !writes && carrier != Carrier::WebSocket && rng.random::<f64>() < share;
        let resource = shares.then(|| draw(self.resources, &mut rng));
        let answer = resource.map_or(answer, |resource| self.size(tenant, resource));
        Request { tenant, writes, upload, answer, entry, carrier, resource }
    }

    /// The size of a shared resource: the same whoever asks for it.
    fn size(&self, tenant: u32, resource: u32) -> u32 {
        let number = u64::from(tenant) << 32 | u64::from(resource);
        let seed = !self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        pick(&self.mix.answers, Xoshiro256PlusPlus::seed_from_u64(seed).random())
    }
}

/// An index from 0 by Zipf's law.
fn draw(zipf: Option<Zipf<f64>>, rng: &mut Xoshiro256PlusPlus) -> u32 {
    let rank = zipf.map_or(1.0, |zipf| rng.sample(zipf));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank from 1 to a u32")]
    let rank = rank as u32;
    rank.saturating_sub(1)
}

fn pick(sizes: &[Size], draw: f64) -> u32 {
    let all: f64 = sizes.iter().map(|size| size.weight).sum();
    let mut left = draw * all;
    for size in sizes {
        left -= size.weight;
        if left < 0.0 {
            return size.bytes;
        }
    }
    sizes.last().map_or(0, |size| size.bytes)
}

/// What is wrong with a mix, if anything is.
#[must_use]
pub fn check(mix: &Mix) -> Vec<String> {
    let mut faults = Vec::new();
    let mut demand = |holds: bool, fault: &str| {
        if !holds {
            faults.push(fault.to_owned());
        }
    };
    demand((1..=10_000_000).contains(&mix.tenants), "workload.tenants is 1 to 10,000,000");
    demand((0.0..=10.0).contains(&mix.zipf), "workload.zipf is 0 to 10");
    demand((0.0..=1.0).contains(&mix.reads), "workload.reads is a share, 0 to 1");
    demand((0.0..=1.0).contains(&mix.http2), "workload.http2 is a share, 0 to 1");
    let Shared { share, resources, zipf } = mix.shared;
    demand((0.0..=1.0).contains(&share), "workload.shared.share is a share, 0 to 1");
    demand((1..=1_000_000).contains(&resources), "workload.shared.resources is 1 to 1,000,000");
    demand((0.0..=10.0).contains(&zipf), "workload.shared.zipf is 0 to 10");
    let of_their_own = mix.new_connections + mix.websockets;
    let shares = mix.new_connections >= 0.0 && mix.websockets >= 0.0 && of_their_own <= 1.0;
    demand(shares, "workload.new_connections and workload.websockets are shares, together at most 1");
    for (name, sizes) in [("answers", &mix.answers), ("uploads", &mix.uploads)] {
        let weights = sizes.iter().all(|size| size.weight.is_finite() && size.weight > 0.0);
        demand(!sizes.is_empty() && weights, &format!("workload.{name} needs sizes, each with a weight above 0"));
        let bytes = sizes.iter().all(|size| size.bytes <= 64 << 20);
        demand(bytes, &format!("workload.{name}: at most 64 MiB each"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_follows_from_its_number_and_the_seed() {
        let workload = Workload::new(Mix::default(), 1);
        let forward: Vec<Request> = (0..100).map(|number| workload.request(number)).collect();
        let backward: Vec<Request> = (0..100).rev().map(|number| workload.request(number)).collect();
        assert!(forward.iter().eq(backward.iter().rev()));
        let other = Workload::new(Mix::default(), 2);
        assert!((0..100).any(|number| other.request(number) != workload.request(number)));
    }

    #[test]
    fn shares_are_as_asked() {
        let mix = Mix { new_connections: 0.1, websockets: 0.05, ..Mix::default() };
        let workload = Workload::new(mix, 3);
        let requests: Vec<Request> = (0..100_000).map(|number| workload.request(number)).collect();
        let share =
            |wanted: fn(&Request) -> bool| requests.iter().filter(|request| wanted(request)).count() as f64 / 1e5;
        assert!((share(|request| request.carrier == Carrier::New) - 0.1).abs() < 0.005);
        assert!((share(|request| request.carrier == Carrier::WebSocket) - 0.05).abs() < 0.005);
        let plain = requests.iter().filter(|request| request.carrier != Carrier::WebSocket);
        let (all, writes) =
            plain.fold((0.0, 0.0), |(all, writes), r| (all + 1.0, writes + f64::from(u8::from(r.writes))));
        assert!((writes / all - 0.2f64).abs() < 0.005);
        // Zipf with exponent 1 over 1,000: the first has 1/H(1000) = 0.1336 of all
        assert!((share(|request| request.tenant == 0) - 0.1336).abs() < 0.005);
        assert!(requests.iter().all(|request| request.tenant < 1_000));
        assert!(requests.iter().all(|request| (request.upload > 0) == request.writes));
    }

    #[test]
    fn an_exponent_of_nothing_makes_all_tenants_alike() {
        let workload = Workload::new(Mix { tenants: 10, zipf: 0.0, ..Mix::default() }, 3);
        let mut counts = [0u32; 10];
        (0..100_000).for_each(|number| counts[workload.request(number).tenant as usize] += 1);
        assert!(counts.iter().all(|count| (9_400..10_600).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_noisy_tenant_has_its_share_from_its_number_on_and_the_others_stay_what_they_are() {
        let mix = Mix { tenants: 100, zipf: 0.0, ..Mix::default() };
        let quiet = Workload::new(mix, 3);
        let noisy = quiet.clone().with_noise(vec![(0, 0.0), (1_000, 0.8), (11_000, 0.0)]);
        let mut count = 0;
        for number in 0..12_000 {
            let (one, other) = (noisy.request(number), quiet.request(number));
            assert_eq!(Request { tenant: other.tenant, ..one }, other);
            if one.tenant != other.tenant {
                assert!(one.tenant == 0 && (1_000..11_000).contains(&number), "{number}");
                count += 1;
            }
        }
        // 80 % of 10,000, of which one in a hundred was its own before
        assert!((7_700..8_140).contains(&count), "{count}");
    }

    #[test]
    fn a_shared_resource_has_one_size_and_the_other_requests_stay_what_they_are() {
        let sizes = [1, 2, 3].map(|bytes| Size { bytes, weight: 1.0 });
        let mix = Mix { tenants: 10, reads: 0.5, websockets: 0.1, answers: sizes.into(), ..Mix::default() };
        let shared = Shared { share: 0.8, resources: 5, zipf: 1.0 };
        let (plain, some) = (Workload::new(mix.clone(), 3), Workload::new(Mix { shared, ..mix }, 3));
        let mut of = std::collections::HashMap::new();
        let (mut reads, mut counts) = (0, [0u32; 5]);
        for number in 0..100_000 {
            let (one, other) = (some.request(number), plain.request(number));
            assert_eq!(one, some.request(number));
            assert_eq!(Request { resource: None, answer: other.answer, ..one }, other);
            let may = !one.writes && one.carrier != Carrier::WebSocket;
            reads += u32::from(may);
            let Some(resource) = one.resource else {
                assert_eq!(one, other);
                continue;
            };
            assert!(may);
            counts[resource as usize] += 1;
            assert_eq!(*of.entry((one.tenant, resource)).or_insert(one.answer), one.answer);
        }
        assert_eq!(of.len(), 50);
        assert!((1..=3).all(|bytes| of.values().any(|size| *size == bytes)), "{of:?}");
        let (all, first) = (f64::from(counts.iter().sum::<u32>()), f64::from(counts[0]));
        assert!((all / f64::from(reads) - 0.8).abs() < 0.01);
        // Zipf with exponent 1 over 5: the first has 1/H(5) = 0.438 of all
        assert!((first / all - 0.438).abs() < 0.01 && counts.is_sorted_by(|a, b| a > b), "{counts:?}");
    }

    #[test]
    fn sizes_come_by_their_weights() {
        let sizes = [Size { bytes: 1, weight: 3.0 }, Size { bytes: 2, weight: 1.0 }];
        assert_eq!([0.0, 0.74, 0.76, 0.999].map(|draw| pick(&sizes, draw)), [1, 1, 2, 2]);
    }

    #[test]
    fn an_unsound_mix_is_named() {
        assert!(check(&Mix::default()).is_empty());
        let bad =
            Mix { tenants: 0, zipf: f64::NAN, reads: 1.5, new_connections: 0.9, websockets: 0.9, ..Mix::default() };
        assert_eq!(check(&bad).len(), 4);
        for (share, resources, zipf) in [(-0.1, 0, -1.0), (f64::NAN, 1_000_001, f64::INFINITY)] {
            let shared = Shared { share, resources, zipf };
            assert_eq!(check(&Mix { shared, ..Mix::default() }).len(), 3, "{shared:?}");
        }
        assert_eq!(
            check(&Mix { answers: vec![], uploads: vec![Size { bytes: 1, weight: 0.0 }], ..Mix::default() }).len(),
            2
        );
    }
}
