//! A line that loses, delays, reorders, repeats and damages frames, with the kernel's TCP at its other end.

use crate::lab::{BadLine, Cable, DAEMON, Namespace, eventually, noise, read_to_end, sha256};
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

const BAD: &str = "--loss 3% --delay 5ms --jitter 5ms --reorder 1% --duplicate 1% --corrupt 0.5%";

#[test]
fn the_cable_does_to_frames_what_it_is_asked_to() {
    let (near, far) = (Namespace::new(), Namespace::new());
    let cable = Cable::lay(&near, "line0", "line1", "--delay 20ms --loss 20% --duplicate 20% --seed 1");
    near.run(&format!("ip link set line1 netns {}", far.name()));
    near.run("ip address add 192.0.2.1/24 dev line0");
    far.run("ip address add 192.0.2.2/24 dev line1 && ip link set line1 up");
    // ARP has to get through as well.
    eventually("an answer", || near.attempt("ping -n -c 1 -W 1 192.0.2.2").status == 0);
    let said = near.attempt("ping -n -i 0.01 -c 500 -W 1 192.0.2.2").stdout;
    let number = |before: &str, after: &str| -> f64 {
        let text = said.split(before).nth(1).and_then(|rest| rest.split(after).next());
        text.and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| panic!("{before}: {said}"))
    };
    // Both ways: 0.8 * 0.8 arrive; each is doubled there with a fifth, and each of those back again.
    let received = number("transmitted,", "received");
    assert!((260.0..380.0).contains(&received), "{said}");
    let doubled = number("+", "duplicates");
    assert!((60.0..260.0).contains(&doubled), "{said}");
    assert!(number("mdev =", "/") >= 40.0, "{said}");
    let report = cable.take_up();
    assert!(report.contains("line0") && report.contains("DUPLICATED"), "{report}");
}

#[test]
fn a_download_over_a_bad_line_is_whole() {
    let line = BadLine::new(&format!("{BAD} --seed 1"));
    let file = noise(4 << 20, 1);
    line.write("www/file", &file);
    let finished = line.attempt_for(Duration::from_secs(100), &format!("curl -sS -o got http://{DAEMON}/file"));
    assert_eq!(finished.status, 0, "{}", finished.stderr);
    assert_eq!(sha256(&line.read("got")), sha256(&file));
}

#[test]
fn an_upload_over_a_bad_line_is_whole() {
    let line = BadLine::new(&format!("{BAD} --seed 2"));
    let file = noise(4 << 20, 2);
    line.write("file", &file);
    let upload = format!("curl -sS -X POST -T file http://{DAEMON}/-/sink");
    let finished = line.attempt_for(Duration::from_secs(100), &upload);
    assert!(finished.stdout.contains(&sha256(&file)), "{}{}", finished.stdout, finished.stderr);
}

#[test]
fn an_echo_over_a_bad_line_comes_back_whole() {
    let line = BadLine::new(&format!("{BAD} --seed 3"));
    let sent = noise(1 << 20, 3);
    let mut stream = line.connect(&format!("{DAEMON}:7"));
    let received = std::thread::scope(|scope| {
        let (mut writer, sent) = (stream.try_clone().unwrap(), &sent);
        scope.spawn(move || {
            writer.write_all(sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        read_to_end(&mut stream)
    });
    assert_eq!(sha256(&received), sha256(&sent));
    drop(stream);
    eventually("its socket gone", || line.daemon.connections().is_empty());
}

#[test]
fn a_narrow_line_with_a_small_queue_is_kept_full_and_not_overrun() {
    let line = BadLine::new("--rate 40mbit --delay 10ms --queue 60KiB --seed 4");
    let file = noise(8 << 20, 4);
    line.write("www/file", &file);
    let seconds = line.run(&format!("curl -sS -m 50 -o got -w '%{{time_total}}' http://{DAEMON}/file"));
    assert_eq!(sha256(&line.read("got")), sha256(&file));
    // 8 MiB take 1.7 s at 40 Mbit/s; a sender that does not adapt to loss takes many times as long.
    assert!(seconds.parse::<f64>().unwrap() < 8.0, "{seconds} s");
}

#[test]
fn a_download_goes_on_after_the_cable_was_cut_and_laid_again() {
    let mut line = BadLine::new("--delay 1ms --rate 50mbit --seed 5");
    let file = noise(8 << 20, 5);
    line.write("www/file", &file);
    let mut curl = line.start(&format!("exec curl -sS -m 50 -o got http://{DAEMON}/file"));
    eventually("a download", || line.folder().join("got").exists());
    std::thread::sleep(Duration::from_millis(300));
    line.cable.take().expect("a cable").cut();
    assert!(curl.is_running(), "it was over before the cable was cut");
    std::thread::sleep(Duration::from_secs(1));
    line.lay("--delay 1ms --seed 6");
    let status = curl.wait(Duration::from_secs(50));
    assert!(status.success(), "{}", curl.stderr());
    assert_eq!(sha256(&line.read("got")), sha256(&file));
}
