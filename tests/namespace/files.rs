//! The file server, with the programs that people use on one: curl, wget, ab.

use crate::lab::{DAEMON, Lab, eventually, noise};
use serde_json::Value;

/// A text of so many octets that becomes shorter when it is packed.
fn text(octets: usize) -> String {
    let lines: String = (0..octets as u64 / 12 + 1).map(|n| format!("line {n} {:x} text\n", n * n * 7_919)).collect();
    lines[..octets].to_owned()
}

#[test]
fn curl_unpacks_each_coding_to_the_file() {
    let lab = Lab::new();
    let text = text(3 << 20);
    lab.write("www/t.txt", &text);
    for coding in ["gzip", "br", "zstd"] {
        let said = lab.run(&format!(
            "curl -sSf --compressed -H 'Accept-Encoding: {coding}' -o got -w '%header{{content-encoding}} %{{size_download}}' \
             http://{DAEMON}/t.txt"
        ));
        let (name, octets) = said.split_once(' ').unwrap();
        assert_eq!(name, coding);
        assert!(octets.parse::<usize>().unwrap() < text.len() / 2, "{coding}: {octets}");
        assert!(lab.read("got") == text.as_bytes(), "{coding}");
    }
    let said = lab.run(&format!("curl -sSf -o got -w '%header{{vary}}' http://{DAEMON}/t.txt"));
    assert_eq!((said.as_str(), lab.read("got") == text.as_bytes()), ("accept-encoding", true));
    let refused =
        lab.run(&format!("curl -sS -o got -w '%{{http_code}}' -H 'Accept-Encoding: *;q=0' http://{DAEMON}/t.txt"));
    assert_eq!(refused, "406");
}

#[test]
fn a_file_packed_by_others_is_sent_and_unpacked() {
    let lab = Lab::new();
    lab.write("www/t.txt", text(100_000));
    lab.run("sleep 0.1; printf 'from the side file' | gzip > www/t.txt.gz");
    assert_eq!(lab.run(&format!("curl -sSf --compressed http://{DAEMON}/t.txt")), "from the side file");
    assert_eq!(lab.run(&format!("curl -sSf http://{DAEMON}/t.txt | wc -c")).trim(), "100000");
}

#[test]
fn curl_gets_several_parts_at_once() {
    let lab = Lab::new();
    let file = text(100_000);
    lab.write("www/file", &file);
    let said = lab.run(&format!("curl -sSf -i -r 0-9,50000-50009,-10 http://{DAEMON}/file"));
    assert!(said.starts_with("HTTP/1.1 206") && said.contains("multipart/byteranges; boundary="), "{said}");
    for (range, octets) in
        [("0-9", &file[..10]), ("50000-50009", &file[50_000..50_010]), ("99990-99999", &file[99_990..])]
    {
        assert!(said.contains(&format!("Content-Range: bytes {range}/100000\r\n\r\n{octets}\r\n")), "{said}");
    }
}

#[test]
fn a_download_that_was_cut_off_goes_on_where_it_was() {
    let lab = Lab::new();
    let file = noise(3 << 20, 7);
    lab.write("www/file", &file);
    for (program, begun) in [("wget -q -c -O begun", 1_000_000), ("curl -sSf --compressed -C - -o begun", 2_999_999)] {
        lab.write("begun", &file[..begun]);
        lab.run(&format!("{program} http://{DAEMON}/file"));
        assert!(lab.read("begun") == file, "{program}");
        // There is nothing left to do, and both say so in their way.
        lab.attempt(&format!("{program} http://{DAEMON}/file"));
        assert!(lab.read("begun") == file, "{program}");
    }
}

#[test]
fn what_a_client_has_already_is_not_sent_again() {
    let lab = Lab::new();
    lab.write("www/t.txt", text(10_000));
    let get = |options: &str| {
        lab.run(&format!("curl -sSf {options} -o got -w '%{{http_code}} %{{size_download}}' http://{DAEMON}/t.txt"))
    };
    assert_eq!(get("-z got"), "200 10000");
    assert_eq!(get("-z got"), "304 0");
    for options in ["", "--compressed"] {
        lab.run("rm -f tag");
        assert!(get(&format!("{options} --etag-save tag")).starts_with("200 "));
        assert_eq!(get(&format!("{options} --etag-compare tag")), "304 0", "{options}");
    }
    // The tag of the packed form is not that of the plain one.
    assert_eq!(get("--etag-compare tag"), "200 10000");
    lab.run("wget -q -N http://192.0.2.2/t.txt && stat -c %Y t.txt www/t.txt > times");
    let times = String::from_utf8(lab.read("times")).unwrap();
    let times: Vec<&str> = times.lines().collect();
    assert_eq!(times[0], times[1], "wget believes the date");
}

#[test]
fn each_name_is_its_own_site() {
    let namespace = crate::lab::Namespace::new();
    namespace.write("app/index.html", "the app\n");
    namespace.write("app/404.html", "not here\n");
    namespace.write("www/list/a.txt", "x");
    let tables = "[http]\nroot = \"www\"\nlisting = true\n\
        [[http.redirect]]\nfrom = \"/old/*\"\nto = \"/list/*\"\n\
        [[http.site]]\nnames = [\"app.example\", \"*.app.example\"]\nroot = \"app\"\nsecurity_headers = true\n\
        error_pages = { 404 = \"404.html\" }\nheaders = { Cache-Control = \"max-age=60\" }\n";
    let lab = Lab::started(namespace, tables, &[]);
    let get = |host: &str, rest: &str| lab.run(&format!("curl -sS --resolve '{host}:80:{DAEMON}' {rest}"));
    assert_eq!(get("app.example", "http://app.example/"), "the app\n");
    assert_eq!(get("a.app.example", "http://a.app.example/"), "the app\n");
    assert_eq!(get("other.example", "http://other.example/"), "<h1>the lab</h1>\n");
    let said = get("app.example", "-i http://app.example/missing").to_lowercase();
    assert!(said.starts_with("http/1.1 404") && said.ends_with("not here\n"), "{said}");
    for field in
        ["cache-control: max-age=60", "x-frame-options: sameorigin", "content-security-policy: frame-ancestors 'self'"]
    {
        assert!(said.contains(field), "{said}");
    }
    assert!(!said.contains("strict-transport-security"), "only over TLS: {said}");
    assert_eq!(lab.run(&format!("curl -sSf -L http://{DAEMON}/old/a.txt")), "x");
    let list = lab.run(&format!("curl -sSf -H 'Accept: application/json' http://{DAEMON}/list/"));
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["name"], "a.txt");
    assert!(lab.run(&format!("curl -sSf http://{DAEMON}/list/")).contains("<a href=\"./a.txt\">a.txt</a>"));
}

const UPLOAD: &str = "[http]\nroot = \"www\"\n\
    [[http.protect]]\npath = \"/private\"\naccounts = [\"alice\"]\n\
    [[http.upload]]\npath = \"/in\"\naccounts = [\"alice\"]\nlimit = \"4MiB\"\ndelete = true\n";

#[test]
fn a_file_is_put_by_who_may_and_read_by_all() {
    let namespace = crate::lab::Namespace::new();
    namespace.write("www/in/first", "x");
    namespace.write("www/private/a", "secret\n");
    let lab = Lab::started(namespace, UPLOAD, &[]);
    let file = noise(4 << 20, 8);
    lab.write("file", &file);
    lab.write("larger", noise((4 << 20) + 1, 9));
    let put = |options: &str, to: &str| {
        lab.run(&format!("curl -sS {options} -o said -w '%{{http_code}}' http://{DAEMON}{to}"))
    };
    let alice = "-u alice:wonderland";
    assert_eq!(put("-T file", "/in/file"), "401");
    assert_eq!(put(&format!("{alice} -T file"), "/in/file"), "201");
    lab.run(&format!("curl -sSf -o got http://{DAEMON}/in/file"));
    assert!(lab.read("got") == file && lab.read("www/in/file") == file);
    assert_eq!(put(&format!("{alice} -T file -H 'If-None-Match: *'"), "/in/file"), "412");
    assert_eq!(put(&format!("{alice} -T -"), "/in/file"), "204", "in chunks, from nothing");
    assert_eq!(lab.read("www/in/file"), b"");
    assert_eq!(put(&format!("{alice} -T larger"), "/in/larger"), "413");
    assert_eq!(put(&format!("{alice} -X DELETE"), "/in/file"), "204");
    assert_eq!(lab.run("ls -A www/in"), "first\n");
    // A login that reads.
    assert_eq!(put("", "/private/a"), "401");
    assert_eq!(lab.run(&format!("curl -sSf {alice} http://{DAEMON}/private/a")), "secret\n");
    assert_eq!(put("-u alice:x", "/private/a"), "401");
}

#[test]
fn the_log_tells_of_requests_and_of_tcp_and_is_opened_anew() {
    let mut lab = Lab::with("[http]\nroot = \"www\"\n[http.log]\nfile = \"access.log\"\nformat = \"json\"\n");
    lab.write("www/big", noise(4 << 20, 10));
    lab.run(&format!("curl -sSf -A tester -o got 'http://{DAEMON}/big?x'"));
    let log = lab.folder().join("access.log");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("a line in the log", || lines().ends_with('\n'));
    let line: Value = serde_json::from_str(lines().lines().next().unwrap()).unwrap();
    assert_eq!((line["client"].as_str(), line["target"].as_str()), (Some("192.0.2.1"), Some("/big?x")));
    assert_eq!((line["status"].as_u64(), line["bytes"].as_u64()), (Some(200), Some(4 << 20)));
    assert_eq!(line["user_agent"], "tester");
    let tcp = &line["tcp"];
    assert!(tcp["rtt_us"].as_u64().unwrap() > 0 && tcp["cwnd"].as_u64().unwrap() > 10_000, "{tcp}");
    assert!(tcp["bytes_acked"].as_u64().unwrap() > 0 && tcp["retransmits"].is_u64(), "{tcp}");
    for (signal, aside) in [("USR1", "access.log.1"), ("HUP", "access.log.2")] {
        std::fs::rename(&log, lab.folder().join(aside)).unwrap();
        lab.daemon.process().signal(signal);
        eventually("the log is there again", || log.exists());
        lab.run(&format!("curl -sSf -o got http://{DAEMON}/"));
        eventually("a line in the new one", || lines().ends_with('\n'));
        assert_eq!(lines().lines().count(), 1);
    }
}

#[test]
fn a_log_on_a_full_disk_costs_lines_and_nothing_else() {
    let lab = Lab::with("[http]\nroot = \"www\"\n[http.log]\nfile = \"/dev/full\"\n");
    for _ in 0..3 {
        assert_eq!(lab.run(&format!("curl -sSf http://{DAEMON}/")), "<h1>the lab</h1>\n");
    }
    eventually("the loss is said", || lab.daemon.log().contains("the access log can't be written: /dev/full"));
    let lost = lab.run(&format!("curl -sSf http://{DAEMON}/-/access_log.json"));
    let lost: Value = serde_json::from_str(&lost).unwrap();
    assert!(lost[0]["count"].as_u64().unwrap() >= 1, "{lost}");
}

#[test]
fn a_client_has_its_share_and_no_more() {
    let lab = Lab::with("[http]\nroot = \"www\"\nclient_rate = 1\nclient_burst = 5\nclient_connections = 3\n");
    let said = lab.run(&format!("curl -s -o /dev/null -w '%{{http_code}} ' 'http://{DAEMON}/?[1-20]'"));
    let codes: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(codes[..5], ["200"; 5]);
    assert!(codes[5..].iter().filter(|code| **code == "429").count() > 10, "{said}");
    let held: Vec<_> = (0..3).map(|_| lab.tcp(80)).collect();
    eventually("all three are open", || lab.daemon.states().len() >= 3);
    let said = lab.attempt(&format!("curl -s -o /dev/null -w '%{{http_code}}' http://{DAEMON}/"));
    assert_eq!(said.stdout, "503");
    drop(held);
}

#[test]
fn a_thousand_requests_for_a_packed_page_all_succeed() {
    let lab = Lab::new();
    lab.write("www/t.txt", text(40_000));
    let said = lab.run(&format!("ab -q -k -n 1000 -c 10 -H 'Accept-Encoding: br' http://{DAEMON}/t.txt"));
    let figure = |name: &str| {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {said}"));
        line.split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!((figure("Complete requests:"), figure("Failed requests:")), ("1000".into(), "0".into()), "{said}");
}

#[test]
fn over_tls_browsers_are_told_to_stay_there_and_the_log_tells_what_was_agreed() {
    let lab = Lab::with(
        "[http]\nroot = \"www\"\ntls_listen = [443]\nsecurity_headers = true\n[http.log]\nfile = \"access.log\"\nformat = \"json\"\n",
    );
    let head = lab.run(&format!("curl -sSfk --compressed -D - -o got https://{DAEMON}/")).to_lowercase();
    assert!(head.contains("strict-transport-security: max-age=31536000\r\n"), "{head}");
    assert_eq!(lab.read("got"), b"<h1>the lab</h1>\n");
    let log = || std::fs::read_to_string(lab.folder().join("access.log")).unwrap_or_default();
    eventually("a line in the log", || log().ends_with('\n'));
    let line: Value = serde_json::from_str(log().lines().next().unwrap()).unwrap();
    assert_eq!((&line["tls"]["version"], &line["tls"]["resumed"]), (&Value::from("TLSv1_3"), &Value::from(false)));
    assert!(line["tcp"]["rtt_us"].as_u64().unwrap() > 0, "{line}");
}
