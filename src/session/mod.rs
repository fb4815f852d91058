//! Floor 5, the session: who talks to whom, for how long, and who they are.
//!
//! OSI meant dialogues: opening, keeping and closing them in order. In this house: what a conversation
//! needs of the time ([`clock`]), the accounts of people ([`accounts`]), the proof that someone is who they
//! say, off the event loop ([`verifier`]), and what failed attempts cost ([`throttle`]). It never knows the
//! words that an application's protocol puts a name and a password in.

pub mod accounts;
pub mod clock;
pub mod throttle;
pub mod verifier;
