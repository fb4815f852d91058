//! The shared object of `examples/packetdrill`, driven through its C interface as packetdrill does: one script of
//! `tests/packetdrill/scripts/` a test, each in a process of its own, since an object whose script goes wrong ends it.
//!
//! The notation is a part of packetdrill's (`tests/packetdrill/script.rs`), so that packetdrill itself can play all but
//! the few that use what it does not have. `docs/conformance.md` says how.

#![expect(unsafe_code, reason = "a C interface")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a script that can't be read, or goes otherwise than written, ends its test"
)]

#[path = "packetdrill/object.rs"]
mod object;
#[path = "packetdrill/player.rs"]
mod player;
#[path = "packetdrill/script.rs"]
mod script;
#[path = "packetdrill/symbols.rs"]
mod symbols;
#[path = "packetdrill/syscalls.rs"]
mod syscalls;
#[path = "packetdrill/wire.rs"]
mod wire;

use object::{Object, PATIENCE};
use player::Player;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const SCRIPT: &str = "TAPSTACK_SCRIPT";
const OBJECT: &str = "TAPSTACK_PACKETDRILL_OBJECT";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packetdrill/scripts")
}

/// The object, built once.
fn object() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(object::build)
}

/// Plays a script in a process of its own: whether it went as written, and what was said.
fn outcome_of(script: &Path) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_the_environment_names_is_played", "--nocapture"])
        .env(SCRIPT, script)
        .env(OBJECT, object())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    (output.status.success(), said.into_owned())
}

fn play(name: &str) {
    let (went_as_written, said) = outcome_of(&folder().join(name).with_extension("pkt"));
    assert!(went_as_written, "{name}.pkt: {said}");
}

/// Plays a script that goes wrong, and says what was said.
fn mistake_in(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.pkt");
    std::fs::write(&script, text).unwrap();
    let (went_as_written, said) = outcome_of(&script);
    assert!(!went_as_written, "it went as written: {text}");
    said
}

/// In the process of a script: plays it. In any other there is nothing to do.
#[test]
fn what_the_environment_names_is_played() {
    let (Some(script), Some(object)) = (std::env::var_os(SCRIPT), std::env::var_os(OBJECT)) else { return };
    std::thread::spawn(|| {
        std::thread::park_timeout(PATIENCE);
        println!("the script takes more than {PATIENCE:?}");
        std::process::exit(1);
    });
    let (flags, lines) = script::parse(&std::fs::read_to_string(script).unwrap());
    Player::new(Object::load(Path::new(&object), flags.as_deref())).play(&lines);
}

#[test]
fn the_first_descriptor_is_three_and_bad_pointers_are_refused() {
    let object = Object::load(object(), None);
    let (ifc, data) = (object.0, object.0.userdata);
    // SAFETY: numbers, and null where a call refuses it.
    let (first, second) = unsafe {
        (
            (ifc.socket)(data, libc::AF_INET, libc::SOCK_STREAM, 0),
            (ifc.socket)(data, libc::AF_INET, libc::SOCK_DGRAM, 0),
        )
    };
    assert_eq!((first, second), (3, 4));
    assert_eq!(syscalls::bind_to_nothing(&object, first), -1);
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(syscalls::accept_without_address(&object, first), -1);
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINVAL));
    // SAFETY: a number.
    assert_eq!(unsafe { (ifc.close)(data, first) }, 0);
    // SAFETY: numbers.
    assert_eq!(unsafe { (ifc.socket)(data, libc::AF_INET, libc::SOCK_STREAM, 0) }, 3, "the lowest free number");
    object.free();
}

#[test]
fn time_goes_on_only_when_it_is_asked_to_or_looked_at() {
    // packetdrill spins on the clock for the last 20 µs before an event.
    let object = Object::load(object(), None);
    let start = object.time();
    assert_eq!(object.time() - start, 1);
    object.sleep_until(start + 1_000_000);
    assert!((1_000_000..1_000_010).contains(&(object.time() - start)));
    object.free();
}

#[test]
fn what_never_happens_ends_the_program_with_a_message() {
    let listener = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n";
    let said = mistake_in(&format!("{listener}+0 > S. 0:0(0) ack 1 <...>\n"));
    assert!(said.contains("libpacketdrill.so: a packet is waited for"), "{said}");
    let said = mistake_in(&format!("// --so_flags=patience=7\n{listener}+0...1 accept(3, ..., ...) = 4\n"));
    assert!(said.contains("libpacketdrill.so: accept blocks for 7s of virtual time"), "{said}");
    let said = mistake_in("// --so_flags=sack=off,fastopen_key=1\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n");
    assert!(said.contains("--so_flags: fastopen_key=1: the stack does not have it"), "{said}");
}

#[test]
fn what_differs_from_the_script_is_told_with_its_line() {
    let said = mistake_in("0 < S 0:0(0) win 1000 <mss 1000>\n+0 > R 0:0(0)\n");
    assert!(said.contains("line 2: wanted R 0:0(0)") && said.contains("left   R. 0:0(0) ack 1"), "{said}");
    let said = mistake_in("0 < S 0:0(0) win 1000 <mss 1000>\n+1 > R. 0:0(0) ack 1\n");
    assert!(said.contains("line 2: left at") && said.contains("not at 1000"), "{said}");
    let said = mistake_in("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = -1 EINVAL\n");
    assert!(said.contains("line 1: socket gives"), "{said}");
}

/// A test for each script, and one that there is none besides.
macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test] fn $name() { play(stringify!($name)); })*

        #[test]
        fn every_script_is_played() {
            let mut found: Vec<String> = std::fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            let mut played = vec![$(stringify!($name).to_owned()),*];
            found.sort();
            played.sort();
            assert_eq!(found, played);
        }
    };
}

scripts! {
    a_listener_answers_with_every_option_in_the_order_of_linux
    a_listener_answers_a_bare_syn_with_its_mss_alone
    sack_alone_is_agreed_on
    window_scale_alone_is_agreed_on
    timestamps_alone_are_agreed_on
    what_is_switched_off_is_not_offered
    an_active_open_offers_every_option_in_the_order_of_linux
    a_connect_that_does_not_block_tells_by_poll
    a_refused_connect_fails
    a_refusal_is_told_once_to_one_who_does_not_wait
    a_reset_that_does_not_acknowledge_our_syn_is_ignored
    an_acknowledgment_of_another_syn_is_reset
    two_syns_that_cross_open_one_connection
    a_syn_is_sent_again_with_backoff_and_given_up
    a_syn_ack_is_sent_again
    a_syn_that_comes_again_is_answered_again
    data_on_the_last_segment_of_the_handshake_is_taken
    a_syn_to_a_closed_port_is_refused
    a_full_backlog_takes_no_syn
    accept_blocks_until_the_handshake_is_over
    data_is_read_in_order
    what_was_looked_at_stays
    a_read_blocks_until_data_comes
    a_write_is_cut_into_segments_and_its_end_is_pushed
    slow_start_begins_with_ten_segments_and_doubles
    super_segments_leave_whole
    an_initial_window_is_chosen
    the_first_segments_are_acknowledged_at_once
    an_ack_waits_for_company_but_not_for_the_second_segment
    quick_acks_can_be_asked_for
    small_segments_wait_for_each_other_unless_told_otherwise
    a_cork_holds_what_does_not_fill_a_segment
    a_closed_window_is_probed_with_backoff
    a_window_that_opens_is_announced
    a_receive_buffer_is_chosen
    a_write_blocks_while_the_buffer_is_full
    unsent_data_is_bounded_on_request
    urgent_data_is_pointed_at
    vectors_are_gathered_and_scattered
    a_pipe_carries_octets_between_sockets
    a_lost_segment_is_sent_again_with_backoff
    three_duplicate_acks_retransmit_at_once
    what_sack_shows_to_be_lost_is_sent_again
    segments_beyond_a_gap_are_acknowledged_with_their_place
    a_peer_that_acknowledges_nothing_is_given_up
    a_silent_peer_is_probed_and_given_up
    a_mark_is_echoed_until_the_peer_reduced_its_window
    accurate_ecn_is_agreed_on_and_marks_are_counted
    accurate_ecn_is_asked_for_twice
    a_syn_ack_with_accurate_ecn_falls_back
    an_answer_of_rfc_3168_is_enough
    the_peer_closes_first
    we_close_first_and_wait
    both_close_at_once
    a_half_closed_connection_goes_on_to_receive
    nobody_reads_after_the_reading_side_was_shut
    a_close_without_linger_resets
    a_close_with_unread_data_resets
    data_after_a_close_is_reset
    a_lost_fin_is_sent_again
    a_peer_that_never_closes_is_not_waited_for
    a_reset_is_told_once
    a_reset_wakes_who_reads
    a_later_syn_reopens_what_waits
    old_timestamps_are_not_taken
    a_syn_inside_a_connection_is_challenged
    only_the_exact_number_resets
    an_acknowledgment_of_what_was_not_sent_is_challenged
    data_outside_of_the_window_is_answered_and_not_taken
    the_largest_segment_can_be_bounded
    a_router_that_can_not_pass_a_segment_is_believed
    a_forged_frag_needed_changes_nothing
    a_closed_port_refuses_an_open_by_icmp
    an_unreachable_host_does_not_end_a_connection
    datagrams_are_echoed
    a_datagram_to_a_closed_port_is_refused
    a_refused_datagram_is_told_to_a_connected_socket
    an_echo_is_answered
    epoll_tells_what_is_ready
    poll_waits_no_longer_than_it_was_told
    a_connection_is_told_of_in_the_fields_of_linux
    calls_fail_as_those_of_the_kernel
    options_are_read_back_as_they_were_set
}
