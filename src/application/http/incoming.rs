//! The body of a request as who answers it reads it, whichever version of HTTP it came in.

use super::wire::Fault;
use bytes::Bytes;

/// The body of a request: slices of what was received, by deadlines that whoever made it holds.
pub(super) trait Incoming {
    /// The next piece, not empty; `None` at the end.
    ///
    /// # Errors
    /// It is not framed as it says, it is late, or nobody is there any longer. Nothing more is to be asked of it then.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault>;

    /// True once nothing more is to come of it, which [`Incoming::next`] need not have said.
    fn is_ended(&self) -> bool;

    /// Completes when the client is gone, who has sent all of it.
    async fn gone(&mut self) {
        std::future::pending().await
    }

    /// Reads and forgets the rest, if it is not longer than `limit`; false if it is.
    ///
    /// # Errors
    /// As [`Incoming::next`].
    async fn discard(&mut self, limit: u64) -> Result<bool, Fault> {
        let mut octets = 0;
        while let Some(piece) = self.next().await? {
            octets += piece.len() as u64;
            if octets > limit {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
