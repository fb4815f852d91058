//! Replies: a code of three digits, an enhanced code that says more (RFC 3463), and words (RFC 5321 §4.2).

use std::borrow::Cow;
use std::fmt;

/// One reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    code: u16,
    /// Empty for those that have none (RFC 2034 §4: greetings and the like).
    enhanced: &'static str,
    text: Cow<'static, str>,
}

const fn fixed(code: u16, enhanced: &'static str, text: &'static str) -> Reply {
    Reply { code, enhanced, text: Cow::Borrowed(text) }
}

pub(super) const OK: Reply = fixed(250, "2.0.0", "OK");
pub(super) const SENDER_OK: Reply = fixed(250, "2.1.0", "sender OK");
pub(super) const RECIPIENT_OK: Reply = fixed(250, "2.1.5", "recipient OK");
pub(super) const GO_AHEAD: Reply = fixed(354, "", "go ahead; a line of one dot ends it");
pub(super) const BYE: Reply = fixed(221, "2.0.0", "bye");
pub(super) const HELP: Reply =
    fixed(214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT: see RFC 5321");
pub(super) const CANNOT_VERIFY: Reply = fixed(252, "2.1.5", "send some mail and see");
pub(super) const AUTHENTICATED: Reply = fixed(235, "2.7.0", "welcome");
pub(super) const READY_FOR_TLS: Reply = fixed(220, "2.0.0", "go ahead with TLS");

pub(super) const STOPPING: Reply = fixed(421, "4.3.2", "the service is stopping; come back later");
pub(super) const SILENCE: Reply = fixed(421, "4.4.2", "nothing came for too long");
pub(super) const TOO_MANY_CONNECTIONS: Reply = fixed(421, "4.7.0", "too many connections from your address");
pub(super) const TOO_MANY_MISTAKES: Reply = fixed(421, "4.7.0", "too many mistakes");
pub(super) const TOO_FAST: Reply = fixed(450, "4.7.1", "too many messages from your address; come back later");
pub(super) const TOO_MANY_RECIPIENTS: Reply =
    fixed(452, "4.5.3", "too many recipients; send it to the others separately");
pub(super) const MAILBOX_FULL: Reply = fixed(452, "4.2.2", "the mailbox is full; come back later");
pub(super) const DISK_FULL: Reply = fixed(452, "4.3.1", "there is no room for mail now; come back later");
pub(super) const DISK_TROUBLE: Reply = fixed(451, "4.3.0", "the mail can't be stored now; come back later");
pub(super) const BUSY: Reply = fixed(451, "4.3.2", "too much to do at once; come back later");
pub(super) const AUTH_BUSY: Reply =
    fixed(454, "4.7.0", "too many logins at once, or too many that failed; come back later");

pub(super) const UNKNOWN_COMMAND: Reply = fixed(500, "5.5.1", "there is no such command");
pub(super) const BAD_SYNTAX: Reply = fixed(500, "5.5.2", "this is no command");
pub(super) const LINE_TOO_LONG: Reply = fixed(500, "5.5.2", "the line is too long");
pub(super) const BARE_LINE_END: Reply =
    fixed(500, "5.5.2", "a line ends with CR and LF together, and neither stands alone (RFC 5321 2.3.8)");
pub(super) const BAD_ARGUMENT: Reply = fixed(501, "5.5.4", "that is not what this command takes");
pub(super) const CANCELLED: Reply = fixed(501, "5.7.0", "as you wish");
pub(super) const NOT_BASE64: Reply = fixed(501, "5.5.2", "that is not what the mechanism says");
pub(super) const NOT_HERE: Reply = fixed(502, "5.5.1", "this is not done here");
pub(super) const HELLO_FIRST: Reply = fixed(503, "5.5.1", "say EHLO first");
pub(super) const MAIL_FIRST: Reply = fixed(503, "5.5.1", "say MAIL first");
pub(super) const RCPT_FIRST: Reply = fixed(503, "5.5.1", "say RCPT first, and one that is accepted");
pub(super) const MAIL_ALREADY: Reply = fixed(503, "5.5.1", "there is a message already; RSET gives it up");
pub(super) const IN_CHUNKS: Reply = fixed(503, "5.5.1", "the message has begun in chunks: BDAT or RSET");
pub(super) const AUTH_ALREADY: Reply = fixed(503, "5.5.1", "you are known already, or in the middle of a message");
pub(super) const ENCRYPTED_ALREADY: Reply = fixed(503, "5.5.1", "this is encrypted already");
pub(super) const UNKNOWN_MECHANISM: Reply = fixed(504, "5.5.4", "there is no such mechanism");
pub(super) const AUTH_REQUIRED: Reply = fixed(530, "5.7.0", "say who you are first: AUTH");
pub(super) const ENCRYPTION_FIRST: Reply = fixed(530, "5.7.0", "encrypt first: STARTTLS");
pub(super) const AUTH_REFUSED: Reply = fixed(535, "5.7.8", "name or password is wrong");
pub(super) const ENCRYPTION_REQUIRED: Reply = fixed(538, "5.7.11", "passwords are not taken without encryption");
pub(super) const NO_SUCH_USER: Reply = fixed(550, "5.1.1", "there is nobody of this name here");
pub(super) const NO_RELAY: Reply = fixed(550, "5.7.1", "this is not a relay: only mail for its own domains is taken");
pub(super) const NO_QUEUE: Reply =
    fixed(550, "5.7.1", "mail for other hosts is not sent from here yet: there is no queue for it");
pub(super) const NOT_YOURS: Reply = fixed(553, "5.7.1", "this is not your address");
pub(super) const NOT_INTERNATIONAL: Reply = fixed(553, "5.6.7", "an address beyond ASCII needs SMTPUTF8");
pub(super) const TOO_LARGE: Reply = fixed(552, "5.3.4", "the message is larger than may be");
pub(super) const BARE_IN_MESSAGE: Reply =
    fixed(554, "5.6.0", "a CR or LF stands alone in the message: lines end with both together (RFC 5321 2.3.8)");
pub(super) const LONG_LINE_IN_MESSAGE: Reply = fixed(554, "5.6.0", "a line of the message is longer than 64 KiB");
pub(super) const LOOP: Reply = fixed(554, "5.4.6", "the message goes round in circles: it has passed 100 hosts");
pub(super) const NO_VALID_RECIPIENTS: Reply = fixed(554, "5.5.1", "there is nobody to send it to");
pub(super) const UNKNOWN_PARAMETER: Reply = fixed(555, "5.5.4", "there is no such parameter here");

impl Reply {
    /// A reply with words of its own.
    pub(super) fn new(code: u16, enhanced: &'static str, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code, enhanced, text: text.into() }
    }

    /// Its code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// True if the client is told that something is wrong.
    pub fn is_failure(&self) -> bool {
        self.code >= 400
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.enhanced {
            "" => write!(f, "{} {}", self.code, self.text),
            enhanced => write!(f, "{} {enhanced} {}", self.code, self.text),
        }
    }
}
