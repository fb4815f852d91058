//! The states of a connection and the ways between them: RFC 9293 §3.3.2.
//!
//! [`TRANSITIONS`] is the RFC's figure 5 as a table. `docs/tcp-states.md` is drawn from it by a test.
//! LISTEN is a listener here and never the state of a connection; the row that leaves it is drawn for the
//! sake of the figure.

use std::fmt;

/// The state of a connection (RFC 9293 §3.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a connection request.
    Listen,
    /// Waiting for the answer to our connection request.
    SynSent,
    /// Waiting for the acknowledgment of our SYN, having received the other.
    SynReceived,
    /// Open; the normal state of data transfer.
    Established,
    /// We closed; waiting for the other's FIN or the acknowledgment of ours.
    FinWait1,
    /// We closed and that is acknowledged; waiting for the other's FIN.
    FinWait2,
    /// The other closed; waiting for our application to close.
    CloseWait,
    /// Both closed at once; waiting for the acknowledgment of our FIN.
    Closing,
    /// Both closed, the other first; waiting for the acknowledgment of our FIN.
    LastAck,
    /// Both closed; waiting until nothing old can be on its way any more.
    TimeWait,
}

use State::*;

/// Every way from one state to another, with what takes it: the edges of RFC 9293 figure 5 and those that
/// §3.10 adds in words (abort, reset, timeouts).
pub const TRANSITIONS: &[(State, State, &str)] = &[
    (Closed, SynSent, "active OPEN / send SYN"),
    (Closed, SynReceived, "SYN from a listener's embryo / SYN,ACK was sent"),
    (Listen, SynReceived, "receive SYN / send SYN,ACK"),
    (SynSent, SynReceived, "receive SYN / send SYN,ACK"),
    (SynSent, Established, "receive SYN,ACK / send ACK"),
    (SynReceived, Established, "receive ACK of SYN"),
    (SynReceived, FinWait1, "CLOSE / send FIN"),
    (Established, FinWait1, "CLOSE / send FIN"),
    (Established, CloseWait, "receive FIN / send ACK"),
    (FinWait1, FinWait2, "receive ACK of FIN"),
    (FinWait1, Closing, "receive FIN / send ACK"),
    (FinWait1, TimeWait, "receive FIN and ACK of FIN / send ACK"),
    (FinWait2, TimeWait, "receive FIN / send ACK"),
    (CloseWait, LastAck, "CLOSE / send FIN"),
    (Closing, TimeWait, "receive ACK of FIN"),
    (LastAck, Closed, "receive ACK of FIN"),
    (TimeWait, Closed, "timeout of 2 MSL"),
    (SynSent, Closed, "CLOSE, reset or timeout"),
    (SynReceived, Closed, "ABORT, reset or timeout"),
    (Established, Closed, "ABORT, reset or timeout"),
    (FinWait1, Closed, "ABORT, reset or timeout"),
    (FinWait2, Closed, "ABORT, reset or timeout"),
    (CloseWait, Closed, "ABORT, reset or timeout"),
    (Closing, Closed, "ABORT, reset or timeout"),
];

impl State {
    /// All states in the order of the RFC.
    pub const ALL: [State; 11] =
        [Closed, Listen, SynSent, SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait];

    /// True if the table has a way from this state to `next`.
    pub fn may_become(self, next: State) -> bool {
        TRANSITIONS.iter().any(|(from, to, _)| *from == self && *to == next)
    }

    /// True once both sides know each other's sequence numbers (RFC 9293 §3.5).
    pub fn is_synchronized(self) -> bool {
        !matches!(self, Closed | Listen | SynSent | SynReceived)
    }

    /// True while the other side's data is taken: its FIN has not arrived.
    pub fn may_receive(self) -> bool {
        matches!(self, Established | FinWait1 | FinWait2)
    }

    /// True while the application may hand over data: it has not closed.
    pub fn may_send(self) -> bool {
        matches!(self, SynSent | SynReceived | Established | CloseWait)
    }
}

impl State {
    /// Its name in RFC 9293.
    pub fn name(self) -> &'static str {
        match self {
            Closed => "CLOSED",
            Listen => "LISTEN",
            SynSent => "SYN-SENT",
            SynReceived => "SYN-RECEIVED",
            Established => "ESTABLISHED",
            FinWait1 => "FIN-WAIT-1",
            FinWait2 => "FIN-WAIT-2",
            CloseWait => "CLOSE-WAIT",
            Closing => "CLOSING",
            LastAck => "LAST-ACK",
            TimeWait => "TIME-WAIT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// The table as a page: one block for each state with the ways out of it.
    fn page() -> String {
        let mut page = String::from(
            "# The states of a TCP connection\n\n\
             Drawn by `src/transport/tcp/state.rs` from the table that every change of state is checked against\n\
             (RFC 9293 §3.3.2, figure 5, and the ways that §3.10 adds in words). A test fails when the two differ.\n\n```text\n",
        );
        for state in State::ALL {
            writeln!(page, "{state}").unwrap();
            for (_, to, cause) in TRANSITIONS.iter().filter(|(from, ..)| *from == state) {
                writeln!(page, "   +--> {to:<13} {cause}").unwrap();
            }
        }
        page + "```\n"
    }

    #[test]
    fn the_page_of_states_is_that_of_the_table() {
        let kept = std::fs::read_to_string("docs/tcp-states.md").unwrap_or_default();
        assert!(kept == page(), "docs/tcp-states.md must read:\n{}", page());
    }

    #[test]
    fn every_state_can_be_reached_and_left() {
        for state in State::ALL.into_iter().filter(|state| *state != Listen) {
            assert!(TRANSITIONS.iter().any(|(_, to, _)| *to == state), "nothing leads to {state}");
            assert!(TRANSITIONS.iter().any(|(from, ..)| *from == state), "nothing leads out of {state}");
        }
        assert!(!TimeWait.may_become(Established));
        assert!(!Established.may_become(TimeWait));
    }
}
