//! Files that are kept: they are sent as they are, whatever happens to them.

use super::*;
use std::os::unix::fs::{MetadataExt, symlink};

/// A site whose calendar is an hour later than its files, so that they are kept.
fn later() -> House {
    let house = house();
    let changed = fs::metadata(house.www().join("a.txt")).unwrap().ctime();
    house.bench.clock.set_calendar(Duration::from_secs(changed as u64 + 3_600));
    house
}

#[test]
fn a_file_that_is_kept_is_answered_as_one_that_is_read() {
    let mut house = later();
    for (line, headers) in [
        ("GET /a.txt", ""),
        ("HEAD /a.txt", ""),
        ("GET /a.txt", "Range: bytes=2-4\r\n"),
        ("GET /a.txt", "Range: bytes=10-\r\n"),
        ("GET /a.txt", "If-Match: \"x\"\r\n"),
        ("GET /a.txt", "If-None-Match: *\r\n"),
        ("GET /", ""),
        ("GET /empty", ""),
        ("OPTIONS /a.txt", ""),
        ("DELETE /a.txt", ""),
    ] {
        let root = Root::open(&house.www()).unwrap();
        let (clock, random) = (house.bench.clock(), Random::from_seed(1));
        let hosts = Hosts { default: Host { root: Some(root), ..Host::default() }, ..Hosts::default() };
        house.site = Rc::new(Site::new(Config::default(), clock, random, hosts, Rc::new(|| json!({}))));
        let read = house.ask(line, headers);
        assert!(status(&read) > 0);
        assert_eq!(house.ask(line, headers), read, "{line} {headers}");
    }
}

#[test]
fn a_change_of_a_kept_file_shows_in_the_next_answer() {
    let mut house = later();
    let ask = |house: &mut House| {
        house.bench.pass(Duration::from_nanos(1));
        house.ask("GET /a.txt", "")
    };
    let path = house.www().join("a.txt");
    let changed = |path: &Path| fs::metadata(path).map(|facts| (facts.ctime(), facts.ctime_nsec())).unwrap();
    let before = changed(&path);
    assert_eq!(body(&ask(&mut house)), "0123456789");
    // The same length and the same time of modification: only the inode tells, once the file system's clock has ticked.
    while changed(&path) == before {
        house.write("a.txt", b"9876543210");
    }
    assert_eq!(body(&ask(&mut house)), "9876543210");
    // Another file in its place.
    house.write("b.txt", b"abcdefghij");
    fs::rename(house.www().join("b.txt"), &path).unwrap();
    assert_eq!(body(&ask(&mut house)), "abcdefghij");
    fs::remove_file(&path).unwrap();
    assert_eq!(status(&ask(&mut house)), 404);
    fs::create_dir(&path).unwrap();
    assert_eq!(status(&ask(&mut house)), 301);
    fs::remove_dir(&path).unwrap();
    house.write(".hidden", b"secret");
    symlink(".hidden", &path).unwrap();
    assert_eq!(status(&ask(&mut house)), 404);
    fs::remove_file(&path).unwrap();
    symlink("index.html", &path).unwrap();
    assert_eq!(body(&ask(&mut house)), "<p>hello");
}
