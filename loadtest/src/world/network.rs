//! What lies between the parts of a world: the loopback that they share, or a network of their own that can be parted.
//!
//! In such a network each stamp runs in a network namespace, connected by a veth pair to a bridge in a further namespace;
//! Redis and the generator stay in the harness's, which is connected in the same way. All addresses are of 127.0.0.0/8,
//! which proxies believe each other on.
//!
//! Invariants: a namespace lives as long as the process that holds it, which ends with the harness, and links vanish with
//! their namespace, so nothing is left to clean up; what is parted is silent: no reset, no refusal, not even a neighbour
//! that is not found, because every neighbour is known from the begin.

use std::{
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    path::Path,
    process::{self, Stdio},
    sync::Arc,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    PATIENCE,
    process::{Process, Registry},
    stamp_id,
};

/// What lies between the parts of a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The loopback of the machine.
    #[default]
    Loopback,
    /// A namespace for each stamp, so that they can be parted.
    Namespaces,
}

/// Where a process runs and listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address on which it is reached.
    pub address: Ipv4Addr,
    /// Id of the process that holds its network namespace; default: the harness's own.
    pub namespace: Option<u32>,
}

impl Place {
    /// The loopback of the machine.
    pub const LOOPBACK: Self = Self { address: Ipv4Addr::LOCALHOST, namespace: None };
}

/// What a namespace is missing when it cannot be had.
const NEEDS: &str = "world.network = \"namespaces\" takes root (CAP_SYS_ADMIN, CAP_NET_ADMIN), a writable /proc/sys/net and \
                     Debian's iproute2 and util-linux";
/// Keeps a namespace. Addresses of 127.0.0.0/8 pass over links that are made once the word is said.
const HOLD: &str = "echo 1 > /proc/sys/net/ipv4/conf/default/route_localnet && echo held && exec sleep infinity";
/// Networks to choose from, each of 256 addresses: 127.64.0.0 to 127.127.255.255.
const NETWORKS: u32 = 64 * 256;
/// Another network is tried this often when one is another world's.
const TRIES: u32 = 16;
/// The harness's number in its network; those of stamps are their positions and 1.
const HARNESS: u8 = 254;
/// Nobody's number.
const NOBODY: u8 = 255;

/// The namespaces of a world and the bridge between them.
pub struct Switch {
    network: u32,
    bridge: u32,
    stamps: Vec<u32>,
}

impl Switch {
    /// Makes them.
    ///
    /// # Errors
    /// The machine lacks a program or refuses it; says what is needed.
    pub(super) async fn start(folder: &Path, registry: &Registry, stamps: usize) -> anyhow::Result<Self> {
        Self::make(folder, registry, stamps).await.context(NEEDS)
    }

    async fn make(folder: &Path, registry: &Registry, stamps: usize) -> anyhow::Result<Self> {
        let bridge = hold(folder, registry, "network").await?;
        let mut namespaces = Vec::new();
        for position in 0..stamps {
            namespaces.push(hold(folder, registry, &format!("network {}", stamp_id(position)?)).await?);
        }
        let network = connect(bridge).await?;
        let switch = Self { network, bridge, stamps: namespaces };
        switch.wire().await?;
        Ok(switch)
    }

    /// Connects everybody to the bridge.
    async fn wire(&self) -> anyhow::Result<()> {
        let mut links =
            "link add bridge type bridge\nlink set bridge up\nlink set harness master bridge up\n".to_owned();
        for (position, holder) in self.stamps.iter().enumerate() {
            writeln!(links, "link add stamp{position} type veth peer name net netns {holder}")?;
            writeln!(links, "link set stamp{position} master bridge up")?;
        }
        ip(Some(self.bridge), &links).await?;
        for (position, holder) in self.stamps.iter().enumerate() {
            let own = number(position);
            // an address that is there before lo is up keeps the kernel from giving it all of 127.0.0.0/8
            let lo = "address add 127.0.0.1/32 dev lo\nlink set lo up\n";
            ip(Some(*holder), &format!("{lo}link set net address {}\n{}", mac(own), self.joined("net", own)?)).await?;
        }
        let own = interface(self.network);
        let localnet = format!("/proc/sys/net/ipv4/conf/{own}/route_localnet");
        fs::write(&localnet, "1").context(localnet)?;
        // here lo has all of 127.0.0.0/8, by a route of the table that is asked first
        let route =
            format!("route add {}/24 dev {own} table local scope link src {}\n", self.address(0), self.own().address);
        ip(None, &format!("{}{route}", self.joined(&own, HARNESS)?)).await
    }

    /// What gives an interface its address, and neighbours that need not be asked for.
    fn joined(&self, interface: &str, own: u8) -> anyhow::Result<String> {
        let known = self.neighbours(interface, own)?;
        Ok(format!("address add {}/24 dev {interface}\nlink set {interface} up\n{known}", self.address(own)))
    }

    fn neighbours(&self, interface: &str, own: u8) -> anyhow::Result<String> {
        let mut batch = String::new();
        let numbers = (1..).take(self.stamps.len()).chain([HARNESS]);
        for number in numbers.filter(|number| *number != own) {
            writeln!(batch, "{}", self.neighbour(interface, number, number))?;
        }
        Ok(batch)
    }

    fn neighbour(&self, interface: &str, number: u8, at: u8) -> String {
        format!("neighbour replace {} lladdr {} dev {interface} nud permanent", self.address(number), mac(at))
    }

    fn address(&self, number: u8) -> Ipv4Addr {
        // 14 bits of it are used
        let [_, _, high, low] = self.network.to_be_bytes();
        Ipv4Addr::new(127, 64 + high, low, number)
    }

    /// Where the harness is.
    pub(super) fn own(&self) -> Place {
        Place { address: self.address(HARNESS), namespace: None }
    }

    /// Where a stamp's processes are.
    pub(super) fn place(&self, position: usize) -> Place {
        Place { address: self.address(number(position)), namespace: self.stamps.get(position).copied() }
    }

    /// From now on nothing passes between a stamp and another one, or everybody.
    ///
    /// # Errors
    /// The machine refuses it.
    pub async fn part(&self, stamp: usize, from: Option<usize>) -> anyhow::Result<()> {
        self.set(stamp, from, false).await
    }

    /// Takes that back.
    ///
    /// # Errors
    /// The machine refuses it.
    pub async fn heal(&self, stamp: usize, from: Option<usize>) -> anyhow::Result<()> {
        self.set(stamp, from, true).await
    }

    /// Takes back whatever was parted.
    ///
    /// # Errors
    /// The machine refuses it.
    pub async fn heal_all(&self) -> anyhow::Result<()> {
        for (position, holder) in self.stamps.iter().enumerate() {
            self.heal(position, None).await?;
            ip(Some(*holder), &self.neighbours("net", number(position))?).await?;
        }
        Ok(())
    }

    async fn set(&self, stamp: usize, from: Option<usize>, passes: bool) -> anyhow::Result<()> {
        let Some(from) = from else {
            // without the bridge frames end where its cable does
            let end = if passes { "master bridge" } else { "nomaster" };
            return ip(Some(self.bridge), &format!("link set stamp{stamp} {end}\n")).await;
        };
        for (here, there) in [(stamp, from), (from, stamp)] {
            let there = number(there);
            // frames to nobody's address arrive nowhere
            let at = if passes { there } else { NOBODY };
            ip(self.place(here).namespace, &self.neighbour("net", there, at)).await?;
        }
        Ok(())
    }
}

/// A stamp's number in its network.
fn number(position: usize) -> u8 {
    // a world has 20 stamps at most
    u8::try_from(position + 1).unwrap_or(NOBODY)
}

/// The hardware address of a number.
fn mac(number: u8) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

/// The name of the harness's interface.
fn interface(network: u32) -> String {
    format!("synaxis{network}")
}

/// Starts a process with a new network namespace; returns its id.
async fn hold(folder: &Path, registry: &Registry, name: &str) -> anyhow::Result<u32> {
    let words = ["--net", "--", "sh", "-c", HOLD].map(str::to_owned);
    let log = folder.join(format!("{}.log", name.replace(' ', "-")));
    let (process, _): (Arc<Process>, _) =
        Process::start(registry, name.to_owned(), Path::new("unshare"), &words, &log, Place::LOOPBACK)?;
    process.line(0, PATIENCE, |line| (line == "held").then_some(())).await?;
    process.id().with_context(|| format!("{name} has ended"))
}

/// Connects the harness to the bridge's namespace by a network that no other world has; returns its number.
async fn connect(bridge: u32) -> anyhow::Result<u32> {
    let mut tried = 0;
    loop {
        let network = process::id().wrapping_add(tried) % NETWORKS;
        let (name, mac) = (interface(network), mac(HARNESS));
        let link = format!("link add {name} address {mac} type veth peer name harness netns {bridge}\n");
        tried += 1;
        match ip(None, &link).await {
            Ok(()) => return Ok(network),
            // the name is another world's, or one's that is just going
            Err(error) if tried < TRIES && format!("{error:#}").contains("File exists") => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lets `ip` do what stands in each line, in the namespace of a process.
async fn ip(namespace: Option<u32>, batch: &str) -> anyhow::Result<()> {
    let entered = namespace.map(|holder| format!("--net=/proc/{holder}/ns/net"));
    let mut command = Command::new(if entered.is_some() { "nsenter" } else { "ip" });
    command.args(entered.iter().flat_map(|net| [net, "--", "ip"])).args(["-batch", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("ip (Debian package iproute2)")?;
    if let Some(mut input) = child.stdin.take() {
        // one that ended early says why
        let _ = input.write_all(batch.as_bytes()).await;
    }
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.context("ip does not end")??;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "ip refuses\n{batch}{}", said.trim_end());
    Ok(())
}
