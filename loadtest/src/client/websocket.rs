//! A WebSocket: opened, three messages each way, closed. A server that says goodbye with 1001 has not failed.

use std::rc::Rc;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{
    exchange::{self, Job},
    sample::End,
    shift::Shift,
};
use crate::echo;

/// Messages each way.
const MESSAGES: u32 = 3;

/// Opens one and talks.
pub(super) fn talk(shift: &Rc<Shift>, mut job: Job) {
    let shift = Rc::clone(shift);
    tokio::task::spawn_local(async move {
        shift.begin(&mut job);
        let (end, stamp) = match timeout(shift.timeout, session(&shift, &job)).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(how)) => (how, String::new()),
            Err(_) => (End::Broken("timeout"), String::new()),
        };
        shift.end(&job, &end, &stamp);
    });
}

async fn session(shift: &Shift, job: &Job) -> Result<(End, String), End> {
    let address = shift.pools[job.entry].address;
    let stream = TcpStream::connect(address).await.map_err(|error| End::Broken(exchange::connect_word(&error)))?;
    let mut request = format!("ws://{address}/websocket").into_client_request().map_err(|error| failed(&error))?;
    shift.heads.fields(job, request.headers_mut());
    let (mut socket, answer) = client_async(request, stream).await.map_err(|error| failed(&error))?;
    let stamp = answer.headers().get(echo::STAMP).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if !shift.heads.is_echo(job, answer.headers()) {
        return Ok((End::CrossTalk, stamp));
    }
    for number in 0..MESSAGES {
        let text = format!("{}:{number}", job.id);
        socket.send(Message::text(text.clone())).await.map_err(|error| failed(&error))?;
        match socket.next().await {
            Some(Ok(Message::Text(echoed))) if echoed.as_str() == text => {}
            Some(Ok(Message::Close(Some(CloseFrame { code: CloseCode::Away, .. })))) => {
                return Ok((End::Answered, stamp));
            }
            Some(Ok(Message::Text(_) | Message::Binary(_))) => return Ok((End::CrossTalk, stamp)),
            Some(Err(error)) => return Ok((failed(&error), stamp)),
            Some(Ok(_)) | None => return Ok((End::Broken("closed"), stamp)),
        }
    }
    // a goodbye that nobody answers changes nothing about what was said
    let _ = socket.close(None).await;
    while let Some(Ok(_)) = socket.next().await {}
    Ok((End::Answered, stamp))
}

fn failed(error: &Error) -> End {
    match error {
        Error::Http(answer) => {
            let reason = answer.headers().get("x-synaxis-reason").and_then(|value| value.to_str().ok());
            End::Refused { status: answer.status().as_u16(), reason: reason.map(str::to_owned) }
        }
        Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionReset => End::Broken("reset"),
        Error::Protocol(_) => End::Broken("protocol"),
        _ => End::Broken("closed"),
    }
}
