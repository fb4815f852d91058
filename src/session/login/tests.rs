//! Login sessions: one test for each promise, and random calls against a plain list.

use super::*;
use crate::base::random::Random;
use base64ct::{Base64UrlUnpadded, Encoding};
use futures_executor::block_on;

const POLICY: Policy = Policy { idle: Duration::from_secs(1000), age: Duration::from_secs(5000), of_an_account: 3 };

fn logins() -> Logins {
    Logins::new(Arc::new(Database::in_memory().unwrap()), Errands::inline(), POLICY)
}

fn at(secs: u64) -> Duration {
    Duration::from_secs(1_700_000_000 + secs)
}

fn of(account: &str, secs: u64) -> Login {
    let (address, agent) = ("192.0.2.1".into(), "a browser".into());
    Login { account: account.into(), address, agent, opened_at: at(secs), used_at: at(secs), mark: [7; 32] }
}

fn open(logins: &Logins, random: &mut Random, account: &str, secs: u64) -> Token {
    let token = Token::draw(random);
    block_on(logins.open(&token, of(account, secs))).unwrap();
    token
}

fn finds(logins: &Logins, token: &Token, secs: u64) -> bool {
    block_on(logins.find(token, at(secs))).unwrap().is_some()
}

#[test]
fn a_session_is_found_by_its_token_until_it_is_closed() {
    let (logins, mut random) = (logins(), Random::from_seed(1));
    let token = open(&logins, &mut random, "alice", 0);
    assert_eq!(block_on(logins.find(&token, at(1))), Ok(Some(of("alice", 0))));
    assert!(!finds(&logins, &Token::draw(&mut random), 1));
    block_on(logins.close(&token)).unwrap();
    assert!(!finds(&logins, &token, 1));
}

#[test]
fn a_session_lasts_while_it_is_used_and_no_longer_than_its_age() {
    let (logins, mut random) = (logins(), Random::from_seed(1));
    let unused = open(&logins, &mut random, "alice", 0);
    assert!(!finds(&logins, &unused, 1001));
    let used = open(&logins, &mut random, "alice", 0);
    for secs in (0..=5000).step_by(900) {
        assert!(finds(&logins, &used, secs), "{secs}");
    }
    assert!(finds(&logins, &used, 5000));
    assert!(!finds(&logins, &used, 5001));
}

#[test]
fn sessions_that_are_over_are_forgotten_and_others_kept() {
    let (logins, mut random) = (logins(), Random::from_seed(1));
    let _over = open(&logins, &mut random, "alice", 0);
    let kept = open(&logins, &mut random, "bob", 900);
    assert_eq!(block_on(logins.expire(at(1500))), Ok(1));
    assert!(finds(&logins, &kept, 1500));
    let count = "SELECT count(*) FROM login";
    let rows = logins.database.with(|sql| sql.query_row(count, (), |row| row.get::<_, u32>(0))).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn logging_out_everywhere_ends_all_sessions_of_the_account_and_no_other() {
    let (logins, mut random) = (logins(), Random::from_seed(1));
    let alice: Vec<Token> = (0..3).map(|n| open(&logins, &mut random, "alice", n)).collect();
    let bob = open(&logins, &mut random, "bob", 0);
    assert_eq!(block_on(logins.close_all("alice")), Ok(3));
    assert!(alice.iter().all(|token| !finds(&logins, token, 1)));
    assert!(finds(&logins, &bob, 1));
}

#[test]
fn the_session_that_was_unused_for_longest_makes_room() {
    let (logins, mut random) = (logins(), Random::from_seed(1));
    let tokens: Vec<Token> = (0..3).map(|n| open(&logins, &mut random, "alice", n)).collect();
    // The first is used; then the second is the one unused for longest.
    assert!(finds(&logins, &tokens[0], 200));
    let newest = open(&logins, &mut random, "alice", 300);
    let found: Vec<bool> = tokens.iter().map(|token| finds(&logins, token, 301)).collect();
    assert_eq!(found, [true, false, true]);
    assert!(finds(&logins, &newest, 301));
    let listed = block_on(logins.list("alice", &newest, at(301))).unwrap();
    let listed: Vec<(Duration, bool)> = listed.iter().map(|(login, is_own)| (login.opened_at, *is_own)).collect();
    assert_eq!(listed, [(at(2), false), (at(0), false), (at(300), true)]);
}

#[test]
fn the_token_is_not_in_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let database = Arc::new(Database::open(&path).unwrap());
    let logins = Logins::new(database, Errands::inline(), POLICY);
    let token = open(&logins, &mut Random::from_seed(1), "alice", 0);
    let mut octets = [0; 32];
    Base64UrlUnpadded::decode(token.text(), &mut octets).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let kept = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!kept.windows(32).any(|window| window == octets));
        assert!(!kept.windows(token.text().len()).any(|window| window == token.text().as_bytes()));
    }
}

#[test]
fn sessions_outlive_the_process_that_opened_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let begin = || Logins::new(Arc::new(Database::open(&path).unwrap()), Errands::inline(), POLICY);
    let token = open(&begin(), &mut Random::from_seed(1), "alice", 0);
    assert!(finds(&begin(), &token, 1));
}

#[test]
fn any_sequence_of_calls_leaves_what_a_list_would_hold() {
    // Differential: the database against a plain list, over random calls.
    for seed in 0..40 {
        let (logins, mut random) = (logins(), Random::from_seed(seed));
        let mut model: Vec<(Token, Login)> = Vec::new();
        let mut now = 0;
        for _ in 0..60 {
            now += 1 + random.below(400);
            match random.below(10) {
                0..4 => {
                    let account = ["alice", "bob"][random.below(2) as usize];
                    let token = open(&logins, &mut random, account, now);
                    model.push((token, of(account, now)));
                    let mut own: Vec<Login> =
                        model.iter().filter(|(_, l)| l.account == account).map(|(_, l)| l.clone()).collect();
                    while own.len() > 3 {
                        let oldest = own.iter().min_by_key(|l| (l.used_at, l.opened_at)).unwrap().clone();
                        let place = model.iter().position(|(_, l)| *l == oldest).unwrap();
                        model.remove(place);
                        own.retain(|l| *l != oldest);
                    }
                }
                4..8 if !model.is_empty() => {
                    let place = random.below(model.len() as u64) as usize;
                    let (token, login) = &mut model[place];
                    let is_valid = at(now) - login.used_at <= POLICY.idle && at(now) - login.opened_at <= POLICY.age;
                    assert_eq!(finds(&logins, token, now), is_valid, "seed {seed}");
                    if is_valid && at(now) - login.used_at >= USE_GRAIN {
                        login.used_at = at(now);
                    }
                }
                8 if !model.is_empty() => {
                    let (token, _) = model.remove(random.below(model.len() as u64) as usize);
                    block_on(logins.close(&token)).unwrap();
                }
                _ => {
                    let before = model.len();
                    model.retain(|(_, l)| at(now) - l.used_at <= POLICY.idle && at(now) - l.opened_at <= POLICY.age);
                    assert_eq!(block_on(logins.expire(at(now))), Ok(before - model.len()), "seed {seed}");
                }
            }
        }
    }
}
