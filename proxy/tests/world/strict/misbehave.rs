//! What the strict app does wrong on its side of the connection, by path. Each answer names its tenant in every word, so
//! that a byte of it in another tenant's answer shows.

use std::{
    io::{self, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Parsed, reply};

/// How long `/hold` waits at most for the other side to go.
const HOLD_MAX: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Before the upload is read: `/early` answers at once, `/slam` closes, `/nonsense` sends what is no HTTP, `/mute` does
/// nothing for a while, `/hold` nothing at all until the other side has gone.
pub(super) fn early(stream: &mut TcpStream, parsed: &Parsed) -> io::Result<()> {
    match parsed.path() {
        "/early" => return reply(stream, parsed),
        "/slam" => {}
        "/nonsense" => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")?,
        "/mute" => thread::sleep(Duration::from_millis(300)),
        "/hold" => _ = poll(&mut [PollFd::new(stream, PollFlags::RDHUP)], Some(&HOLD_MAX))?,
        _ => return Ok(()),
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// After the upload. `/surplus` sends a whole second answer behind its own, `/late` the same a little later, `/headbody`,
/// `/204body` and `/304body` send a body where none may be, `/long` more than it promised, `/cut` less, `/reset` nothing,
/// `/interim` two interim answers first, `/bye` asks to close and does, `/twolengths` and `/obsfold` are no clean HTTP.
pub(super) fn answer(stream: &mut TcpStream, parsed: &Parsed) -> io::Result<()> {
    let body = parsed.reply();
    let whole = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nX-Whose: {}\r\nContent-Length: {}\r\n\r\n{body}", parsed.tenant(), body.len())
    };
    let gone = || Err(io::ErrorKind::ConnectionAborted.into());
    match parsed.path() {
        "/early" => Ok(()),
        "/surplus" => stream.write_all(format!("{}{}", whole("200 OK", &body), whole("200 OK", &body)).as_bytes()),
        "/late" => {
            reply(stream, parsed)?;
            thread::sleep(Duration::from_micros(300));
            stream.write_all(whole("200 OK", &body).as_bytes())
        }
        "/headbody" | "/204body" | "/304body" => {
            let status = match parsed.path() {
                "/204body" => "204 No Content",
                "/304body" => "304 Not Modified",
                _ => "200 OK",
            };
            stream.write_all(whole(status, &whole("200 OK", &body)).as_bytes())
        }
        "/long" => stream.write_all(format!("{} {body}", whole("200 OK", body.trim_end())).as_bytes()),
        "/cut" => {
            let length = body.len() + 100;
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())?;
            thread::sleep(Duration::from_millis(2));
            gone()
        }
        "/reset" => {
            let _ = stream.shutdown(Shutdown::Both);
            gone()
        }
        "/interim" => {
            stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")?;
            reply(stream, parsed)
        }
        "/bye" => {
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(format!("{head}{body}").as_bytes())?;
            gone()
        }
        "/twolengths" => stream.write_all(
            format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
        ),
        "/obsfold" => stream.write_all(
            format!("HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
        ),
        _ => reply(stream, parsed),
    }
}
