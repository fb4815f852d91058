//! A gateway: requests that servers on the kernel's side answer, python's and nginx and some that break, with curl as the client.

use crate::lab::{DAEMON, Lab, Namespace, Running, eventually, http, noise, sha256};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// The lab with these keys of the one proxy, below `/app/`.
fn lab(keys: &str) -> Lab {
    lab_in(Namespace::new(), keys)
}

fn lab_in(namespace: Namespace, keys: &str) -> Lab {
    let log = "[http.log]\nfile = \"access.log\"\nformat = \"json\"\n";
    let tables = format!("[http]\nroot = \"www\"\n[[http.proxy]]\npath = \"/app/\"\n{keys}\n{log}");
    Lab::started(namespace, &tables, &[])
}

fn await_port(namespace: &Namespace, port: u16) {
    eventually("a server that listens", || namespace.try_connect(&format!("192.0.2.1:{port}")).is_ok());
}

/// python's web server over the folder `files`.
fn python(lab: &Lab) -> Running {
    let server = lab.start("exec python3 -m http.server 8000 --bind 192.0.2.1 --directory files");
    await_port(lab, 8000);
    server
}

#[test]
fn curl_gets_what_a_server_behind_has() {
    let lab = lab("to = \"http://192.0.2.1:8000/\"");
    let file = noise(3 << 20, 1);
    lab.write("files/dir/file", &file);
    let _server = python(&lab);
    lab.run(&format!("curl -sSf -o got http://{DAEMON}/app/dir/file"));
    assert_eq!(sha256(&lab.read("got")), sha256(&file));
    let head = lab.run(&format!("curl -sSf -I http://{DAEMON}/app/dir/file")).to_lowercase();
    assert!(head.contains(&format!("content-length: {}\r\n", 3 << 20)), "{head}");
    assert!(head.contains("server: simplehttp") && head.contains("via: 1.0 tapstack\r\n"), "{head}");
    assert_eq!(head.matches("date: ").count(), 1, "{head}");
    // The folder without its slash is found again under our path.
    assert!(lab.run(&format!("curl -sSf -L http://{DAEMON}/app/dir")).contains("<a href=\"file\">"));
    assert!(lab.run(&format!("curl -sSf -L http://{DAEMON}/app")).contains("<a href=\"dir/\">"));
    let code = |path: &str| lab.run(&format!("curl -sS -o /dev/null -w '%{{http_code}}' http://{DAEMON}{path}"));
    assert_eq!((code("/app/none"), code("/index.html"), code("/none")), ("404".into(), "200".into(), "404".into()));
    let log = String::from_utf8(lab.read("access.log")).unwrap();
    let asked: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&asked[0]["upstream"], &asked[0]["bytes"]), (&"192.0.2.1:8000".into(), &(3 << 20).into()));
    assert!(asked[0]["upstream_us"].as_u64().unwrap() > 0);
}

/// nginx at port 8001: what it was asked, a chunked file, and the body of a request as a file.
fn nginx(lab: &Lab) -> Running {
    let folder = lab.folder().display();
    let conf = format!(
        r#"
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr; user root;
events {{ }}
http {{
    access_log {folder}/nginx.log; client_body_temp_path {folder}/body; client_max_body_size 0;
    proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    log_format lines '$request_method $request_uri $request_length'; access_log {folder}/lines.log lines;
    server {{
        listen 192.0.2.1:8001;
        location /who {{ return 200 "$connection $http_host $http_x_forwarded_for $http_forwarded"; }}
        location /chunked {{ gzip on; gzip_types *; gzip_http_version 1.0; gzip_proxied any; alias {folder}/files/text; }}
        location /files/ {{ alias {folder}/files/; }}
        location /sink {{ client_body_in_file_only off; dav_methods PUT; root {folder}/files; }}
    }}
}}
"#
    );
    lab.write("nginx.conf", conf);
    lab.write("files/text", "a line of text\n".repeat(100_000));
    lab.write("files/sink/there", "");
    let server = lab.start(&format!("exec nginx -e stderr -p {folder} -c {folder}/nginx.conf"));
    await_port(lab, 8001);
    server
}

#[test]
fn nginx_is_asked_on_connections_that_are_kept_and_hears_who_asks() {
    let lab = lab("to = \"http://192.0.2.1:8001/\"");
    let _server = nginx(&lab);
    let ask = || lab.run(&format!("curl -sSf -H 'X-Forwarded-For: 203.0.113.7' http://{DAEMON}/app/who"));
    let first = ask();
    let (connection, rest) = first.split_once(' ').unwrap();
    assert_eq!(rest, format!("{DAEMON} 192.0.2.1 for=192.0.2.1;proto=http;host=\"{DAEMON}\""));
    for _ in 0..5 {
        assert_eq!(ask().split(' ').next(), Some(connection), "another client, the same connection behind");
    }
    // HTTP/2 before us is HTTP/1.1 behind.
    let second = lab.run(&format!("curl -sSf --http2-prior-knowledge http://{DAEMON}/app/who"));
    assert!(second.starts_with(&format!("{connection} ")), "{second}");
    // In chunks, packed, and whole.
    let text = lab.run(&format!("curl -sSf --compressed http://{DAEMON}/app/chunked"));
    assert_eq!(text, "a line of text\n".repeat(100_000));
    let head = lab.run(&format!("curl -sSf -o /dev/null -D - -H 'Accept-Encoding: gzip' http://{DAEMON}/app/chunked"));
    assert!(head.to_lowercase().contains("transfer-encoding: chunked\r\n"), "{head}");
    // A body of known and of unknown length arrives.
    let file = noise(5 << 20, 2);
    lab.write("file", &file);
    assert_eq!(
        lab.run(&format!("curl -sS -o /dev/null -w '%{{http_code}}' -T file http://{DAEMON}/app/sink/a")),
        "413"
    );
    let small = &file[..1 << 20];
    lab.write("file", small);
    let ways = [
        ("a", "-T file"),
        ("b", "-T - < file"),
        ("c", "-T file -H 'Expect: 100-continue'"),
        ("e", "--http2-prior-knowledge -T file"),
        ("f", "--http2-prior-knowledge -T - < file"),
    ];
    for (name, how) in ways {
        lab.run(&format!("curl -sSf http://{DAEMON}/app/sink/{name} {how}"));
        assert_eq!(sha256(&lab.read(&format!("files/sink/{name}"))), sha256(small), "{how}");
    }
    // One request with another in its body is one to nginx as well, and what is wrong is none.
    let asked = |lab: &Lab| String::from_utf8(lab.read("lines.log")).unwrap().lines().count();
    let before = asked(&lab);
    let inner = "GET /app/files/secret HTTP/1.1\r\nHost: a\r\n\r\n";
    let outer =
        |framing: &str| format!("PUT /app/sink/d HTTP/1.1\r\nHost: a\r\n{framing}\r\nConnection: close\r\n\r\n{inner}");
    assert_eq!(http(lab.tcp(80), outer(&format!("Content-Length: {}", inner.len()))).status, 201);
    for wrong in ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: x, chunked, x"] {
        assert_eq!(http(lab.tcp(80), outer(wrong)).status, 400, "{wrong}");
    }
    eventually("the log of nginx", || asked(&lab) == before + 1);
}

/// Answers each connection with `answer`, on a thread that ends with the first error.
fn upstream(namespace: &Namespace, port: u16, answer: impl Fn(&mut TcpStream) + Send + 'static) {
    let listener: TcpListener = namespace.listen(&format!("192.0.2.1:{port}"));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut octet = [0];
                match stream.read(&mut octet) {
                    Ok(1) => head.push(octet[0]),
                    _ => break,
                }
            }
            if head.starts_with(b"GET /end ") {
                return;
            }
            answer(&mut stream);
        }
    });
}

/// Ends the thread of an upstream, so that nothing of the namespace is held.
fn end(lab: &Lab, port: u16) {
    lab.connect(&format!("192.0.2.1:{port}")).write_all(b"GET /end \r\n\r\n").unwrap();
}

#[test]
fn what_breaks_off_or_takes_its_time_is_told_as_it_is() {
    let keys = "to = \"http://192.0.2.1:9000/\"\nanswer_timeout = \"1s\"\nconnect_timeout = \"1s\"";
    let lab = lab(&format!(
        "{keys}\n[[http.proxy]]\npath = \"/gone/\"\nto = \"http://192.0.2.1:9/\"\n\
         [[http.proxy]]\npath = \"/silent/\"\nto = \"http://192.0.2.77:80/\"\nconnect_timeout = \"1s\"\n\
         [[http.proxy]]\npath = \"/two/\"\nto = [\"http://192.0.2.1:9/\", \"http://192.0.2.1:9001/\"]"
    ));
    upstream(&lab, 9000, |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        let _ = stream.write_all(&noise(500_000, 3));
    });
    upstream(&lab, 9001, |stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end");
    });
    let code = |path: &str| lab.attempt(&format!("curl -sS -o got -w '%{{http_code}}' http://{DAEMON}{path}"));
    let partial = code("/app/x");
    assert_eq!((partial.status, partial.stdout.as_str()), (18, "200"), "{}", partial.stderr);
    assert!(lab.read("got").len() < 1_000_000);
    assert_eq!(code("/gone/x").stdout, "502");
    let silent = code("/silent/x").stdout;
    assert!(silent == "504" || silent == "502", "{silent}");
    for _ in 0..4 {
        assert_eq!(lab.run(&format!("curl -sSf http://{DAEMON}/two/x")), "until the end");
    }
    assert_eq!(lab.run(&format!("curl -sSf --http1.0 http://{DAEMON}/two/x")), "until the end");
    let log = lab.daemon.log();
    for wanted in [
        "the upstream 192.0.2.1:9000: closed the connection before its answer was whole",
        "GET /gone/x: the upstream 192.0.2.1:9: can't be reached",
        "GET /silent/x: the upstream 192.0.2.77:80: can't be reached",
        "the upstream 192.0.2.1:9 is asked last for 10s",
    ] {
        assert!(log.contains(wanted), "no `{wanted}` in: {log}");
    }
    end(&lab, 9000);
    end(&lab, 9001);
}

#[test]
fn a_server_that_dies_is_a_bad_gateway_until_it_is_back() {
    let lab = lab("to = \"http://192.0.2.1:8000/\"");
    lab.write("files/a", "a");
    let code = || lab.run(&format!("curl -sS -o /dev/null -w '%{{http_code}}' http://{DAEMON}/app/a"));
    let mut server = python(&lab);
    assert_eq!(code(), "200");
    server.signal("KILL");
    server.wait(crate::lab::SOON);
    assert_eq!(code(), "502");
    let _server = python(&lab);
    assert_eq!(code(), "200");
}

#[test]
fn a_gibibyte_goes_through_each_way_and_memory_stays() {
    let lab = lab("to = \"http://192.0.2.1:8001/\"\nbody_limit = \"2GiB\"");
    let _server = nginx(&lab);
    lab.run("truncate -s 1G files/big");
    lab.run(&format!("curl -sSf -o /dev/null http://{DAEMON}/app/files/text"));
    let before = lab.daemon.memory();
    let size = lab.run(&format!("curl -sSf -m 55 -o /dev/null -w '%{{size_download}}' http://{DAEMON}/app/files/big"));
    assert_eq!(size, (1u64 << 30).to_string());
    lab.run(&format!("curl -sSf -m 55 -T files/big http://{DAEMON}/app/sink/big"));
    assert_eq!(std::fs::metadata(lab.folder().join("files/sink/big")).unwrap().len(), 1 << 30);
    let grown = lab.daemon.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} more octets after two gibibytes");
    // A client that takes nothing stops the upstream, not the memory.
    let mut stream = lab.tcp(80);
    stream.write_all(format!("GET /app/files/big HTTP/1.1\r\nHost: {DAEMON}\r\n\r\n").as_bytes()).unwrap();
    let mut some = [0; 1_000];
    stream.read_exact(&mut some).unwrap();
    lab.run(&format!("curl -sSf -o /dev/null http://{DAEMON}/app/files/text"));
    assert!(lab.daemon.memory().saturating_sub(before) < 64 << 20);
    drop(stream);
    eventually("nobody is asked for a client that went", || {
        lab.daemon.states().iter().filter(|state| *state == "ESTABLISHED").count() <= 1
    });
}

#[test]
fn every_queue_reaches_the_servers_behind() {
    let namespace = Namespace::new();
    namespace.write("www/index.html", "");
    let config = Lab::config().replace("[[interface]]", "[[interface]]\nqueues = 4");
    let tables = "[http]\nroot = \"www\"\n[[http.proxy]]\npath = \"/app/\"\nto = \"http://192.0.2.1:8001/\"\n";
    let daemon = crate::lab::Daemon::start(&namespace, "daemon", &format!("{config}{tables}"), &[]);
    let lab = Lab { daemon, namespace };
    let _server = nginx(&lab);
    for _ in 0..40 {
        lab.run(&format!("curl -sSf -m 10 -o /dev/null http://{DAEMON}/app/who"));
    }
}
