//! HTTPS from a client that sends an octet a second: a record that is not whole is no octet of a request.

use super::*;
use crate::presentation::tls::TlsStream;
use crate::presentation::tls::tests::fixtures::{Client, ordinary};

/// A client that has shaken hands.
fn connect(house: &mut House) -> (Client, End) {
    let (acceptor, trust) = ordinary(&house.bench);
    let (ours, theirs) = pipe(1 << 16);
    let (site, shutdown) = (house.site.clone(), house.shutdown.clone());
    let stream = TlsStream::server(theirs, &acceptor).unwrap();
    let end = house.bench.spawn(async move { serve_connection(stream, site, &shutdown).await });
    let mut client = Client::new(&trust, "host.example", ours);
    client.turn(&mut house.bench);
    (client, end)
}

/// Seconds until the connection is over, while a record comes in at an octet a second.
fn seconds_of(house: &mut House, record: &[u8], client: &Client, end: &End) -> usize {
    for (seconds, octet) in record.iter().enumerate() {
        if end.borrow().is_some() {
            return seconds;
        }
        client.pipe.put([*octet]);
        house.bench.pass(Duration::from_secs(1));
    }
    panic!("it was waited for to its end");
}

#[test]
fn a_first_record_of_an_octet_a_second_has_the_time_of_an_idle_connection() {
    let mut house = house();
    let (mut client, end) = connect(&mut house);
    let record = client.seal(&[b'x'; 300]);
    // A minute, and two seconds in which what the client still says is read.
    assert_eq!(seconds_of(&mut house, &record, &client, &end), 62);
}

#[test]
fn the_record_with_the_rest_of_a_head_has_the_time_of_the_head() {
    let mut house = house();
    let (mut client, end) = connect(&mut house);
    client.say(&mut house.bench, b"GET / HTTP/1.1\r\n");
    let record = client.seal(&[b'x'; 300]);
    // Ten seconds, and two in which what the client still says is read.
    assert_eq!(seconds_of(&mut house, &record, &client, &end), 12);
}
