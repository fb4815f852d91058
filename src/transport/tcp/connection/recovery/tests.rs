//! What recovery says is lost.
