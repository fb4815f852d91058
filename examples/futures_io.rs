//! Plain `futures_io`: a function that knows nothing of this stack copies a stream to itself, line by line.
//!
//! ```text
//! cargo run --example futures_io
//! ```

#![expect(clippy::print_stderr, reason = "errors of a command-line program")]
#![expect(clippy::expect_used, reason = "an example ends where it cannot go on")]

use futures_util::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tapstack::session::net::Net;
use tapstack::session::tcp::{TcpListener, TcpStream};

#[path = "two_hosts/cable.rs"]
mod cable;

/// Answers each line with its letters in capitals. Any stream will do.
async fn shout(stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    while reader.read_line(&mut line).await? > 0 {
        writer.write_all(line.to_uppercase().as_bytes()).await?;
        line.clear();
    }
    writer.close().await
}

async fn ask(net: Net, server: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(&net, server).await?;
    stream.write_all(b"half a league, half a league,\nhalf a league onward\n").await?;
    stream.close().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn main() {
    let mut cable = cable::Cable::between("192.0.2.1/24", "192.0.2.2/24");
    let (here, there) = (cable.here.net().clone(), cable.there.net().clone());
    there.clone().spawn(async move {
        let listener = TcpListener::bind(&there, SocketAddr::from(([0, 0, 0, 0], 4000))).expect("the port is free");
        while let Ok(stream) = listener.accept().await {
            if let Err(error) = shout(stream).await {
                eprintln!("server: {error}");
            }
        }
    });
    let done = Rc::new(Cell::new(false));
    let flag = done.clone();
    here.clone().spawn(async move {
        match ask(here, SocketAddr::from(([192, 0, 2, 2], 4000))).await {
            Ok(answer) => print!("{answer}"),
            Err(error) => eprintln!("client: {error}"),
        }
        flag.set(true);
    });
    cable.run_until(|| done.get());
}
