//! What the options do, and what malformed ones can't do.

use super::*;
use proptest::prelude::*;

const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

#[test]
fn a_source_route_is_refused() {
    // RFC 7126 §4.3.5 and §4.4.5.
    assert_eq!(check(&[131, 7, 4, 192, 0, 2, 1, 0]), Err(Problem::SourceRoute));
    assert_eq!(check(&[1, 137, 7, 4, 192, 0, 2, 1]), Err(Problem::SourceRoute));
}

#[test]
fn router_alert_is_seen() {
    assert_eq!(check(&ROUTER_ALERT_OPTION), Ok(Seen { router_alert: true, ..Seen::default() }));
    assert_eq!(check(&[148, 3, 0, 0]), Err(Problem::Malformed { pointer: 21 }));
}

#[test]
fn unknown_options_are_ignored() {
    // RFC 1122 §3.2.1.8: a host MUST ignore options it does not understand.
    assert_eq!(check(&[130, 4, 9, 9, 99, 2, 1, 0]), Ok(Seen::default()));
}

#[test]
fn nothing_behind_the_end_of_the_list_is_read() {
    assert_eq!(check(&[1, 0, 131, 255]), Ok(Seen::default()));
}

#[test]
fn a_malformed_option_is_pointed_at() {
    // RFC 1812 §4.3.3.5: the pointer counts from the header's first byte.
    assert_eq!(check(&[7, 0, 4, 0]), Err(Problem::Malformed { pointer: 21 }));
    assert_eq!(check(&[1, 7, 1, 0]), Err(Problem::Malformed { pointer: 22 }));
    assert_eq!(check(&[7, 9, 4, 0]), Err(Problem::Malformed { pointer: 21 }));
    assert_eq!(check(&[1, 1, 1, 7]), Err(Problem::Malformed { pointer: 24 }));
    assert_eq!(check(&[7, 7, 3, 0, 0, 0, 0, 0]), Err(Problem::Malformed { pointer: 22 }));
    assert_eq!(check(&[68, 8, 4, 0, 0, 0, 0, 0]), Err(Problem::Malformed { pointer: 22 }));
    assert_eq!(check(&[68, 8, 5, 2, 0, 0, 0, 0]), Err(Problem::Malformed { pointer: 23 }));
}

#[test]
fn record_route_takes_our_address_until_it_is_full() {
    let mut options = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(fill(&mut options, OWN, 0));
    assert_eq!(options, [7, 11, 8, 192, 0, 2, 7, 0, 0, 0, 0, 0]);
    assert!(fill(&mut options, OWN, 0));
    assert_eq!(options, [7, 11, 12, 192, 0, 2, 7, 192, 0, 2, 7, 0]);
    assert!(!fill(&mut options, OWN, 0));
}

#[test]
fn a_timestamp_says_that_it_is_not_the_time_of_day() {
    let mut options = [68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(fill(&mut options, OWN, 0x0102_0304));
    assert_eq!(options, [68, 12, 13, 1, 192, 0, 2, 7, 0x81, 2, 3, 4]);
    // RFC 791: a full list counts who had no room.
    assert!(fill(&mut options, OWN, 0));
    assert_eq!(options[3], 0x11);
}

#[test]
fn a_prespecified_timestamp_is_given_only_by_the_one_asked() {
    let mut options = [68, 12, 5, 3, 192, 0, 2, 9, 0, 0, 0, 0];
    assert!(!fill(&mut options, OWN, 1));
    assert!(fill(&mut options, Ipv4Addr::new(192, 0, 2, 9), 1));
    assert_eq!(options, [68, 12, 13, 3, 192, 0, 2, 9, 0x80, 0, 0, 1]);
}

#[test]
fn an_echo_reply_carries_route_and_time_and_nothing_else() {
    // RFC 1122 §3.2.2.6.
    let options = [148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0];
    assert_eq!(for_echo_reply(&options, OWN, 0)[..], [7, 7, 8, 192, 0, 2, 7, 0]);
    assert!(for_echo_reply(&ROUTER_ALERT_OPTION, OWN, 0).is_empty());
}

#[test]
fn later_fragments_carry_only_what_asks_for_it() {
    // RFC 791 "Copied Flag".
    let options = [7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0];
    assert_eq!(for_later_fragments(&options)[..], ROUTER_ALERT_OPTION);
}

proptest! {
    #[test]
    fn random_options_never_panic_and_never_change_their_length(
        mut options in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(7), Just(68), Just(131), Just(148), 0u8..12], 0..=40),
        millis: u32,
    ) {
        let before = options.clone();
        let verdict = check(&options);
        fill(&mut options, OWN, millis);
        // Filling in changes no option's type or length: the verdict stands.
        prop_assert_eq!(check(&options), verdict);
        prop_assert!(for_later_fragments(&before).len() <= 40);
        prop_assert!(for_echo_reply(&before, OWN, millis).len().is_multiple_of(4));
    }
}
