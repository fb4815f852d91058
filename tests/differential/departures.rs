//! Where smoltcp 0.13 knowingly or unknowingly does otherwise, and which paragraph says who is right.
//!
//! | smoltcp | the RFC | where it shows |
//! |---|---|---|
//! | An application that lets go of a connection with unread data sends a FIN, and data that arrives later is acknowledged until the window is full. | RFC 9293 §3.6.1 MUST-12, RFC 2525 §2.17: a reset must say that data was lost. | The peer of a side that leaves by [`Leave::Drop`] sees a reset from tapstack, a FIN from smoltcp. |
//! | With timestamps a full segment is twelve bytes too long for the MTU, and is never sent. | RFC 9293 §3.7.1 MUST-16, RFC 6691 §2: the options count. | Its device is told an MTU larger by that much, and two of them talk without timestamps. |
//! | TIME-WAIT lasts ten seconds, and what was not read by then is lost. | RFC 9293 §3.6.1 MUST-13: twice the MSL; §3.10.4: what was received is delivered. | Not in a comparison: readers rest for six seconds at most, and the state is looked at after three seconds and after ten minutes. |
//! | A reset leaves what had arrived to be read. | RFC 9293 §3.10.7.4 second: all queues are flushed. | Not in a comparison: who is reset when all is said has read it by then, and how much a hasty reset flushes is not compared. |

use crate::endpoint::Final;
use crate::player::{End, Report};
use crate::script::{Knobs, Leave, Open, Script};
use crate::{Pairing, Stack};

/// What may be asked for in a pairing.
pub fn knobs_for(pairing: Pairing, knobs: Knobs) -> Knobs {
    let timestamps = knobs.timestamps && pairing != (Stack::Smoltcp, Stack::Smoltcp);
    Knobs { timestamps, ..knobs }
}

/// True if `other` is what `reference`, tapstack with itself, makes one expect of `pairing`.
pub fn same(script: &Script, pairing: Pairing, reference: &[Report; 2], other: &[Report; 2]) -> bool {
    let stacks = [pairing.0, pairing.1];
    (0..2).all(|side| {
        let (expected, found) = (&reference[side], &other[side]);
        let peer = 1 - side;
        if script.sides[peer].leave == Leave::Drop && stacks[peer] == Stack::Smoltcp {
            return found.end == End::Eof && found.read == expected.read;
        }
        if script.sides[side].leave == Leave::Drop && stacks[side] == Stack::Smoltcp {
            return found.opened;
        }
        if script.open == Open::ToNobody {
            return (expected.opened, expected.read) == (found.opened, found.read);
        }
        let same_seen = if script.is_hasty {
            // How much had arrived when the reset came is a matter of timing, up to whether a listener's
            // application heard of the connection at all.
            found.end != End::Eof && (expected.opened != found.opened || expected.end == found.end)
        } else {
            (expected.opened, expected.read, expected.end) == (found.opened, found.read, found.end)
                && (expected.write_failed, expected.finished) == (found.write_failed, found.finished)
        };
        let same_state = !script.is_exact || expected.state == found.state;
        same_seen && same_state && found.last_state == Final::Closed
    })
}
