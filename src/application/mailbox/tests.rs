//! Deliveries into Maildirs in a folder of their own, and what goes wrong with the disk.

use super::delivery::{Draft, sweep};
use super::listing::{Listing, MESSAGES};
use super::*;
use crate::base::time::Duration;
use std::fs::{FileTimes, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;
use tempfile::TempDir;

const NOW: Duration = Duration::from_secs(1_795_348_800);

fn draft(to: &[&Path], text: &str) -> Draft {
    draft_within(Quota::default(), to, text)
}

fn draft_within(quota: Quota, to: &[&Path], text: &str) -> Draft {
    let to = to.iter().map(|root| root.to_path_buf()).collect();
    let mut draft = Mailboxes::new("{user}").with_quota(quota).draft(to, NOW, "host");
    draft.append(text.as_bytes());
    draft
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn list(root: &Path) -> Vec<(String, u64)> {
    let mut listing = Listing::read(root).unwrap();
    listing.measure();
    listing.iter().map(|(base, octets)| (String::from_utf8(base.to_vec()).unwrap(), octets)).collect()
}

#[test]
fn a_delivered_message_is_whole_and_private_and_tells_its_size() {
    let mail = TempDir::new().unwrap();
    let root = mail.path().join("deep/alice");
    let draft = draft(&[&root], "a\nbc\n");
    assert_eq!(names(&root.join("new")).len(), 0, "seen before it was delivered");
    assert!(draft.deliver(NOW, true).iter().all(Result::is_ok));
    assert_eq!(names(&root.join("tmp")).len(), 0);
    let [(name, octets)] = &list(&root)[..] else { panic!("one message") };
    assert!(name.ends_with(",S=5,W=7") && *octets == 7, "{name}");
    let path = root.join("new").join(name);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\nbc\n");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(root).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn an_empty_message_is_one_too() {
    let mail = TempDir::new().unwrap();
    assert!(draft(&[mail.path()], "").deliver(NOW, true)[0].is_ok());
    assert_eq!(list(mail.path())[0].1, 0);
}

#[test]
fn a_draft_that_is_given_up_leaves_nothing() {
    let mail = TempDir::new().unwrap();
    let draft = draft(&[mail.path()], "half");
    assert_eq!(names(&mail.path().join("tmp")).len(), 1);
    drop(draft);
    assert_eq!((names(&mail.path().join("tmp")).len(), names(&mail.path().join("new")).len()), (0, 0));
}

#[test]
fn one_message_for_several_people_is_delivered_to_all_or_to_none() {
    let mail = TempDir::new().unwrap();
    let roots: Vec<PathBuf> = ["alice", "bob", "carol"].iter().map(|name| mail.path().join(name)).collect();
    let to: Vec<&Path> = roots.iter().map(PathBuf::as_path).collect();
    assert!(draft(&to, "x\n").deliver(NOW, true).iter().all(Result::is_ok));
    // A file where bob's new mail should be.
    fs::remove_dir_all(roots[1].join("new")).unwrap();
    fs::write(roots[1].join("new"), "").unwrap();
    let results = draft(&to, "y\n").deliver(NOW, true);
    assert!(results.iter().all(Result::is_err));
    let counts = || (names(&roots[0].join("new")).len(), names(&roots[2].join("new")).len());
    assert_eq!(counts(), (1, 1));
    // To each what is possible.
    let good: Vec<bool> = draft(&to, "z\n").deliver(NOW, false).iter().map(Result::is_ok).collect();
    assert_eq!((good, counts()), (vec![true, false, true], (2, 2)));
    assert_eq!(names(&roots[0].join("tmp")).len(), 0);
}

#[test]
fn the_first_recipient_may_have_no_room_for_the_draft() {
    let mail = TempDir::new().unwrap();
    let (broken, good) = (mail.path().join("broken"), mail.path().join("good"));
    fs::write(&broken, "a file, not a folder").unwrap();
    let good_only: Vec<bool> = draft(&[&broken, &good], "x\n").deliver(NOW, false).iter().map(Result::is_ok).collect();
    assert_eq!(good_only, [false, true]);
    assert!(draft(&[&broken], "x\n").deliver(NOW, false)[0].is_err());
}

#[test]
fn a_folder_that_is_a_link_gets_no_mail() {
    let mail = TempDir::new().unwrap();
    let (root, elsewhere) = (mail.path().join("alice"), mail.path().join("elsewhere"));
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, root.join("new")).unwrap();
    assert!(draft(&[&root], "x\n").deliver(NOW, true)[0].is_err());
    assert_eq!(names(&elsewhere).len(), 0);
}

#[test]
fn a_link_in_the_place_of_the_draft_is_not_written_through() {
    let mail = TempDir::new().unwrap();
    let mut draft = Mailboxes::new("{user}").draft(vec![mail.path().to_owned()], NOW, "host");
    fs::create_dir_all(mail.path().join("tmp")).unwrap();
    std::os::unix::fs::symlink(mail.path().join("secret"), mail.path().join("tmp").join(draft.name())).unwrap();
    draft.append(b"x\n");
    draft.append(b"more\n");
    assert_eq!(draft.deliver(NOW, true)[0].as_ref().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert!(!mail.path().join("secret").exists());
}

#[test]
fn a_maildir_takes_no_more_than_its_quota_whoever_fills_it() {
    let mail = TempDir::new().unwrap();
    let quota = Quota::new(100);
    let deliver = |octets: usize| {
        let results = draft_within(quota.clone(), &[mail.path()], &"x".repeat(octets)).deliver(NOW, true);
        results.into_iter().next().unwrap().map_err(|error| error.kind())
    };
    assert_eq!(deliver(101), Err(io::ErrorKind::QuotaExceeded));
    assert_eq!(deliver(60), Ok(()));
    assert_eq!(deliver(41), Err(io::ErrorKind::QuotaExceeded));
    // What other programs deliver counts, and what they remove.
    fs::write(mail.path().join("cur/1.other:2,S"), "x".repeat(30)).unwrap();
    assert_eq!(deliver(11), Err(io::ErrorKind::QuotaExceeded));
    assert_eq!(deliver(10), Ok(()));
    fs::remove_file(mail.path().join("cur/1.other:2,S")).unwrap();
    assert_eq!(deliver(31), Err(io::ErrorKind::QuotaExceeded));
    assert_eq!(deliver(30), Ok(()));
    assert_eq!(deliver(1), Err(io::ErrorKind::QuotaExceeded));
    assert_eq!(names(&mail.path().join("tmp")).len(), 0);
}

#[test]
fn what_lay_in_tmp_for_36_hours_is_swept_and_nothing_younger() {
    let mail = TempDir::new().unwrap();
    drop(draft(&[mail.path()], "makes the folders"));
    for (name, hours) in [("old", 37), ("young", 35)] {
        let path = mail.path().join("tmp").join(name);
        fs::write(&path, "").unwrap();
        let then = SystemTime::UNIX_EPOCH + NOW - Duration::from_secs(hours * 3_600);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_times(FileTimes::new().set_modified(then)).unwrap();
    }
    assert_eq!(sweep(mail.path(), NOW).unwrap(), 1);
    assert_eq!(names(&mail.path().join("tmp")), ["young"]);
    assert_eq!(sweep(&mail.path().join("nowhere"), NOW).unwrap(), 0);
}

#[test]
fn a_listing_is_bounded_to_the_oldest_and_small() {
    let mail = TempDir::new().unwrap();
    fs::create_dir(mail.path().join("new")).unwrap();
    for number in 0..MESSAGES + 5 {
        fs::File::create(mail.path().join("new").join(format!("{number}.M1P1Q1.host,S=1,W=3"))).unwrap();
    }
    let listing = Listing::read(mail.path()).unwrap();
    assert_eq!(listing.len(), MESSAGES);
    assert_eq!(listing.get(MESSAGES - 1).unwrap().0, format!("{}.M1P1Q1.host,S=1,W=3", MESSAGES - 1).as_bytes());
}
