//! The token of a login session: 256 random bits that say nothing, which the browser gives back in a cookie. Whoever
//! has it is taken for the account, so that only its digest is kept here, and nothing prints it by accident.

use crate::base::random::Random;
use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// Octets of a token.
const LENGTH: usize = 32;

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; LENGTH]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// A new one. `random` is seeded by the operating system wherever it matters.
    pub fn draw(random: &mut Random) -> Self {
        let mut octets = [0; LENGTH];
        random.fill(&mut octets);
        Token(octets)
    }

    /// Out of a cookie; `None` if it can't be one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; LENGTH];
        // More would be refused as well, but only after it was looked at.
        let decoded = (text.len() <= 2 * LENGTH).then(|| Base64UrlUnpadded::decode(text, &mut octets).ok())??;
        (decoded.len() == LENGTH).then_some(Token(octets))
    }

    /// For a cookie: letters, digits, `-` and `_`.
    pub fn text(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.0)
    }

    /// What is kept of it. A fast digest will do, since nobody guesses 256 bits.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// What a form must bring along with the cookie, so that another site, which can make a browser send the cookie but
    /// can't read a page of ours, can't make it send the form.
    pub fn form_word(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.form_code())
    }

    /// True if this is the word that belongs to the session; takes the same time wherever it differs.
    pub fn is_form_word(&self, word: &str) -> bool {
        let mut octets = [0; 32];
        let Ok(theirs) = Base64UrlUnpadded::decode(word.get(..word.len().min(64)).unwrap_or(""), &mut octets) else {
            return false;
        };
        let ours = self.form_code();
        theirs.len() == ours.len() && theirs.iter().zip(ours).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }

    fn form_code(&self) -> [u8; 32] {
        // Any length is a key for HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        mac.update(b"tapstack form");
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_its_text_and_in_nothing_else() {
        let mut random = Random::from_seed(1);
        let token = Token::draw(&mut random);
        assert_eq!(Token::parse(&token.text()), Some(token.clone()));
        assert_ne!(Token::draw(&mut random), token);
        let text = token.text();
        for wrong in ["", "x", &text[1..], &format!("{text}A"), &format!("{text}="), &"A".repeat(10_000), "ä"] {
            assert_eq!(Token::parse(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn a_form_word_belongs_to_one_session() {
        let mut random = Random::from_seed(1);
        let (one, other) = (Token::draw(&mut random), Token::draw(&mut random));
        assert!(one.is_form_word(&one.form_word()));
        for wrong in [&other.form_word(), &one.text(), "", "ä", &one.form_word()[1..], &"A".repeat(10_000)] {
            assert!(!one.is_form_word(wrong), "{wrong}");
        }
    }
}
