//! `healthcheck`: one GET of `/readyz` on the admin listener, for probes that can only run a program.
//!
//! Invariant: it ends within its timeout and reads a bounded answer, whatever stands at the other end.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

use super::arguments::Healthcheck;

/// Where the admin listener is unless somebody says otherwise.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// `http://IP:PORT`, with or without the scheme; `localhost` is 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdminAddress(SocketAddr);

impl FromStr for AdminAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "an admin listener is written http://IP:PORT, such as http://127.0.0.1:9901";
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let address = match bare.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}").parse(),
            None => bare.parse(),
        };
        address.ok().filter(|address: &SocketAddr| address.port() != 0).map(Self).ok_or(FORM)
    }
}

pub(crate) fn healthcheck(said: &Healthcheck) -> ExitCode {
    let asked = address(said)
        .and_then(|address| ask(address, said.timeout).map_err(|why| format!("http://{address}/readyz: {why}")));
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("not ready: {why}");
            ExitCode::FAILURE
        }
    }
}

fn address(said: &Healthcheck) -> Result<SocketAddr, String> {
    if let Some(AdminAddress(address)) = said.address {
        return Ok(address);
    }
    let Some(config) = &said.config else { return Ok(DEFAULT) };
    let (settings, _) = synaxis_config::load_file(config).map_err(|faults| {
        format!("the configuration, which names the address to ask, holds a fault; write --address:\n{faults}")
    })?;
    let mut address = settings.admin.address;
    if address.port() == 0 {
        return Err("the configuration lets the system choose the admin port; write --address".to_owned());
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

/// Asks within `timeout`, everything included.
fn ask(address: SocketAddr, timeout: Duration) -> Result<(), String> {
    let end = Instant::now() + timeout;
    let slow = || format!("no complete answer within {} ms", timeout.as_millis());
    let left = || end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or_else(slow);
    let told = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => slow(),
        _ => error.to_string(),
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?).map_err(told)?;
    stream.set_write_timeout(Some(left()?)).map_err(told)?;
    let request = format!("GET /readyz?verbose HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = Vec::new();
    let mut piece = [0; 2048];
    while answer.len() < ANSWER_BYTES_MAX {
        stream.set_read_timeout(Some(left()?)).map_err(told)?;
        match stream.read(&mut piece).map_err(told)? {
            0 => break,
            count => answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
    judge(&answer)
}

fn judge(answer: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or("the answer is not HTTP")?;
    if status == "200" {
        return Ok(());
    }
    if status.bytes().all(|b| b.is_ascii_digit()) {
        // whatever answers, no terminal is told what to do
        let body: String = body.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        return Err(format!("{status}\n{}", body.trim_end()));
    }
    Err("the answer is not HTTP".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_listener_is_an_address_and_a_port() {
        for (text, expected) in [
            ("http://127.0.0.1:9901", "127.0.0.1:9901"),
            ("http://127.0.0.1:9901/", "127.0.0.1:9901"),
            ("[::1]:9901", "[::1]:9901"),
            ("localhost:9901", "127.0.0.1:9901"),
        ] {
            assert_eq!(text.parse(), Ok(AdminAddress(expected.parse().unwrap())), "{text}");
        }
        for bad in ["", "https://127.0.0.1:9901", "127.0.0.1", "127.0.0.1:0", "host:1", "http://127.0.0.1:1/readyz"] {
            assert!(bad.parse::<AdminAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_200_is_ready() {
        assert_eq!(judge(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        let refused = judge(b"HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nnot \x1b[2Jready\n");
        assert_eq!(refused, Err("503\nnot [2Jready".to_owned()));
        for bad in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 2\r\n\r\n",
            b"\xff\r\n\r\n",
            b"200 OK\r\n\r\n",
        ] {
            assert!(judge(bad).is_err(), "{bad:?}");
        }
    }
}
