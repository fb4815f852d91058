//! The way in, the same for every protocol: what failures cost, the proof of who speaks, and what is offered for it.

use crate::base::random::Random;
use crate::session::clock::Clock;
use crate::session::rights::Service;
use crate::session::sasl::{Exchange, Mechanism};
use crate::session::throttle::SharedThrottle;
use crate::session::verifier::{Verdict, Verifier};
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

/// What came of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Name and password belong together.
    Admitted,
    /// They don't.
    Refused,
    /// Too many attempts at once; this one was not looked at.
    Busy,
    /// Too many failures from there; this one was not looked at.
    Throttled,
}

/// The way in.
pub struct Entrance {
    clock: Rc<dyn Clock>,
    verifier: Verifier,
    throttle: SharedThrottle,
    random: RefCell<Random>,
    service: Service,
}

impl Entrance {
    /// `throttle` is shared by everything that takes passwords; only accounts that are for this `service` come in.
    pub fn new(
        clock: Rc<dyn Clock>,
        verifier: Verifier,
        throttle: SharedThrottle,
        random: Random,
        service: Service,
    ) -> Self {
        Entrance { clock, verifier, throttle, random: RefCell::new(random), service }
    }

    /// Who may come in.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Waits until an attempt from `peer` may be made; false if that would take too long.
    pub async fn wait(&self, peer: IpAddr) -> bool {
        let place = self.throttle.lock().admit(peer, self.clock.now());
        match place {
            None => false,
            Some(place) => {
                self.clock.sleep_until(place).await;
                true
            }
        }
    }

    /// Lets in who knows the password.
    pub async fn by_password(&self, peer: IpAddr, name: &str, password: &[u8]) -> Entry {
        if !self.wait(peer).await {
            return Entry::Throttled;
        }
        self.check(peer, name, password).await
    }

    /// The same for an attempt that has waited.
    pub async fn check(&self, peer: IpAddr, name: &str, password: &[u8]) -> Entry {
        match self.verifier.verify(name, password).await {
            Verdict::Accepted => self.on_proof(peer, name),
            Verdict::Refused => self.on_failure(peer),
            Verdict::Busy => Entry::Busy,
        }
    }

    /// Whoever speaks is not who they say.
    pub fn on_failure(&self, peer: IpAddr) -> Entry {
        self.throttle.lock().on_failure(peer, self.clock.now());
        Entry::Refused
    }

    /// It is shown that `name` speaks, who comes in if the account is for this service. If it is not that looks the same
    /// as a wrong password.
    pub fn on_proof(&self, peer: IpAddr, name: &str) -> Entry {
        if !self.verifier.accounts().admits(name, self.service) {
            return self.on_failure(peer);
        }
        self.throttle.lock().on_success(peer);
        Entry::Admitted
    }

    /// The SASL mechanisms that can be offered.
    pub fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        let has_scram = self.verifier.accounts().all_have_scram();
        Mechanism::ALL.into_iter().filter(move |mechanism| has_scram || *mechanism != Mechanism::ScramSha256)
    }

    /// Begins an exchange.
    pub fn exchange(&self, mechanism: Mechanism) -> Exchange {
        let mut nonce = [0; 18];
        self.random.borrow_mut().fill(&mut nonce);
        Exchange::new(mechanism, self.verifier.accounts(), nonce)
    }
}
