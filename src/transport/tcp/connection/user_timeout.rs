//! The user timeout option: RFC 5482.
//!
//! Each side may tell the other how long it keeps a connection whose data is not acknowledged, so that the other does not
//! give up sooner (or much later). It is advice (§3): what the peer says is taken between two limits, and only where
//! this side's application has not decided for itself.
//!
//! ```text
//!   USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT))
//! ```

use super::{Connection, Timer};
use crate::base::time::Duration;
use crate::transport::Context;
use crate::transport::tcp::segment::Segment;

/// L_LIMIT: what RFC 9293 SHLD-11 asks of R2.
const L_LIMIT: Duration = Duration::from_secs(100);
/// U_LIMIT: a peer must not make us keep what is dead for days.
const U_LIMIT: Duration = Duration::from_secs(3600);
/// The bit that makes the value count minutes (RFC 5482 §3).
const MINUTES: u16 = 1 << 15;

/// What one connection keeps, where the option is in use (ENABLED).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UserTimeout {
    /// ADV_UTO: what this side asks for.
    advertised: Option<Duration>,
    /// The application has set the timeout itself: CHANGEABLE is false (§3.2).
    is_fixed: bool,
    /// The peer is to be told with the next segment without data: the first time also where the SYN has told it, since a
    /// passive opener keeps little of a SYN (§3.1).
    is_due: bool,
}

/// The value of the option: seconds where they fit, minutes else; never zero (§3).
fn to_wire(timeout: Duration) -> u16 {
    let seconds = timeout.as_secs().max(1);
    match u16::try_from(seconds) {
        Ok(seconds) if seconds < MINUTES => seconds,
        _ => MINUTES | u16::try_from(seconds.div_ceil(60)).unwrap_or(u16::MAX).min(MINUTES - 1),
    }
}

/// What the option says; zero says nothing and MUST be ignored (§3).
fn from_wire(value: u16) -> Option<Duration> {
    let count = u64::from(value & !MINUTES);
    let seconds = if value & MINUTES == 0 { count } else { count * 60 };
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

impl Connection {
    /// The connection begins, with the option where the configuration asks for it.
    pub(super) fn start_user_timeout(&mut self) {
        if self.config.user_timeout_option {
            let advertised = self.config.user_timeout;
            self.extras().user_timeout = Some(UserTimeout { advertised, is_fixed: false, is_due: true });
        }
    }

    /// The option of our SYN or SYN-ACK.
    pub(super) fn user_timeout_of_syn(&self) -> Option<u16> {
        self.extras.as_ref()?.user_timeout?.advertised.map(to_wire)
    }

    /// The option of the next segment, if the peer is to be told.
    pub(super) fn take_user_timeout_due(&mut self) -> Option<u16> {
        let uto = self.extras.as_mut()?.user_timeout.as_mut()?;
        std::mem::take(&mut uto.is_due).then_some(uto.advertised).flatten().map(to_wire)
    }

    /// The application decides: the peer hears of it, and does not change it any more (§3.2).
    pub(super) fn fix_user_timeout(&mut self, timeout: Option<Duration>) {
        if let Some(uto) = self.extras.as_mut().and_then(|extras| extras.user_timeout.as_mut()) {
            *uto = UserTimeout { advertised: timeout, is_fixed: true, is_due: timeout.is_some() };
        }
    }

    /// The peer says how long it waits (§3.1).
    pub(super) fn note_user_timeout(&mut self, seg: &Segment, cx: &Context) {
        let Some(remote) = seg.options.user_timeout.and_then(from_wire) else { return };
        let uto = self.extras.as_ref().and_then(|extras| extras.user_timeout);
        let Some(uto) = uto.filter(|uto| !uto.is_fixed) else { return };
        let timeout = remote.max(uto.advertised.unwrap_or_default()).clamp(L_LIMIT, U_LIMIT);
        if self.config.user_timeout != Some(timeout) {
            self.configure(|config| config.user_timeout = Some(timeout));
            self.timers.stop(Timer::User);
            self.arm_timers(cx.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_counts_seconds_or_minutes() {
        // RFC 5482 §3.
        for (seconds, wire) in [(0, 1), (1, 1), (300, 300), (32_767, 32_767), (32_768, MINUTES | 547)] {
            assert_eq!(to_wire(Duration::from_secs(seconds)), wire);
        }
        assert_eq!(to_wire(Duration::MAX), u16::MAX);
        assert_eq!(from_wire(MINUTES | 10), Some(Duration::from_secs(600)));
        assert_eq!((from_wire(0), from_wire(MINUTES)), (None, None));
    }
}
