//! A WebSocket: opened, three messages each way, closed. A server that says goodbye (1001) before that ends it as
//! `goodbye`, which a fault may declare.

use std::rc::Rc;

use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{exchange, job::Job, sample::End, shift::Shift};
use crate::echo;

/// Messages each way.
const MESSAGES: u32 = 3;

/// Opens one and talks.
pub(super) fn talk(shift: &Rc<Shift>, mut job: Job) {
    let shift = Rc::clone(shift);
    tokio::task::spawn_local(async move {
        job.reach();
        job.begin();
        let (end, stamp) = match timeout(shift.timeout, session(&shift, &job)).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(how)) => (how, String::new()),
            Err(_) => (End::Broken("timeout"), String::new()),
        };
        job.end(&end, &stamp);
    });
}

async fn session(shift: &Shift, job: &Job) -> Result<(End, String), End> {
    let address = shift.pools[job.entry].address;
    let stream = TcpStream::connect(address).await.map_err(|error| End::Broken(exchange::connect_word(&error)))?;
    let mut request = format!("ws://{address}/websocket").into_client_request().map_err(|error| failed(&error))?;
    shift.heads.fields(job, request.headers_mut());
    let (mut socket, answer) = match client_async(request, stream).await {
        Ok(opened) => opened,
        Err(Error::Http(answer)) => return Ok(refused(shift, job, answer.status().as_u16(), answer.headers())),
        Err(error) => return Err(failed(&error)),
    };
    let stamp = exchange::text(answer.headers(), echo::STAMP).unwrap_or_default();
    if !shift.heads.is_echo(job, answer.headers()) {
        return Ok((End::CrossTalk, stamp));
    }
    for number in 0..MESSAGES {
        let text = format!("{}:{number}", job.id);
        socket.send(Message::text(text.clone())).await.map_err(|error| failed(&error))?;
        let end = match next(&mut socket).await {
            Some(Ok(Message::Text(echoed))) if echoed.as_str() == text => continue,
            Some(Ok(Message::Close(Some(CloseFrame { code: CloseCode::Away, .. })))) => End::Broken("goodbye"),
            Some(Ok(Message::Text(_) | Message::Binary(_))) => End::CrossTalk,
            Some(Err(error)) => failed(&error),
            Some(Ok(_)) | None => End::Broken("closed"),
        };
        return Ok((end, stamp));
    }
    // a goodbye that nobody answers changes nothing about what was said
    let _ = socket.close(None).await;
    while let Some(Ok(message)) = next(&mut socket).await {
        if message.is_text() || message.is_binary() {
            return Ok((End::CrossTalk, stamp));
        }
    }
    Ok((End::Answered, stamp))
}

/// The next message that is not about the connection itself.
async fn next(socket: &mut WebSocketStream<TcpStream>) -> Option<Result<Message, Error>> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            message => return message,
        }
    }
}

/// An answer that opens none. One that proves whose it is must be this request's all the same.
fn refused(shift: &Shift, job: &Job, status: u16, headers: &HeaderMap) -> (End, String) {
    let foreign = headers.contains_key(echo::ID) && !shift.heads.is_echo(job, headers);
    let reason = || exchange::text(headers, "x-synaxis-reason");
    let end = if foreign { End::CrossTalk } else { End::Refused { status, reason: reason() } };
    (end, exchange::text(headers, echo::STAMP).unwrap_or_default())
}

fn failed(error: &Error) -> End {
    match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionReset => End::Broken("reset"),
        Error::Protocol(_) => End::Broken("protocol"),
        _ => End::Broken("closed"),
    }
}
