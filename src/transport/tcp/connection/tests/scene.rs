//! One connection and a peer written out by hand.
