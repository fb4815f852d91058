//! hyper, unchanged, on both ends of a cable that exists only in this process: a server on one host, a
//! client on another, and nothing of the kernel's network between them.
//!
//! ```text
//! cargo run --example hyper
//! ```

#![expect(clippy::print_stderr, reason = "errors of a command-line program")]

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use tapstack::session::net::Net;
use tapstack::session::tcp::{TcpListener, TcpStream};

#[path = "two_hosts/cable.rs"]
mod cable;

async fn server(net: Net) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(&net, SocketAddr::from(([0, 0, 0, 0], 8080)))?;
    loop {
        let stream = listener.accept().await?;
        let peer = stream.peer_addr();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| async move {
            let text = format!("{} {} from {peer}\n", request.method(), request.uri());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
        });
        net.spawn(async move {
            if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await {
                eprintln!("server: {error}");
            }
        });
    }
}

async fn client(net: Net, server: SocketAddr) -> Result<String, Box<dyn Error>> {
    let stream = TcpStream::connect(&net, server).await?;
    let (mut requests, connection) = hyper::client::conn::http1::handshake(stream).await?;
    net.spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("client: {error}");
        }
    });
    let request = Request::get("/hello").header("host", "server").body(Empty::<Bytes>::new())?;
    let response = requests.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{status}: {}", String::from_utf8_lossy(&body)))
}

fn main() {
    let mut cable = cable::Cable::between("192.0.2.1/24", "192.0.2.2/24");
    let (here, there) = (cable.here.net().clone(), cable.there.net().clone());
    there.clone().spawn(async move {
        if let Err(error) = server(there).await {
            eprintln!("server: {error}");
        }
    });
    let done = Rc::new(Cell::new(false));
    let flag = done.clone();
    here.clone().spawn(async move {
        match client(here, SocketAddr::from(([192, 0, 2, 2], 8080))).await {
            Ok(answer) => print!("{answer}"),
            Err(error) => eprintln!("client: {error}"),
        }
        flag.set(true);
    });
    cable.run_until(|| done.get());
}
