//! A file that is served: what is said of it, and in which form it goes out.

use super::media::Media;
use crate::application::http::body::Content;
use crate::application::http::validators::Validators;
use crate::presentation::encoding::Coding;

/// A file that is served.
pub(super) struct Page {
    pub(super) content: Content,
    /// Octets of the content.
    pub(super) length: u64,
    pub(super) validators: Validators,
    pub(super) media: Media,
    pub(super) form: Form,
    /// Other clients get it in other forms (RFC 9110 §12.5.5).
    pub(super) varies: bool,
}

/// What the content is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// The file as it is.
    Plain,
    /// A file that somebody packed and put beside it.
    Stored(Coding),
    /// Packed by us, and here as a whole.
    Made(Coding),
    /// The file as it is, to be packed as it is sent.
    ToBeMade(Coding),
}

impl Form {
    /// The coding that the client is to undo.
    pub(super) fn coding(self) -> Option<Coding> {
        match self {
            Form::Plain => None,
            Form::Stored(coding) | Form::Made(coding) | Form::ToBeMade(coding) => Some(coding),
        }
    }

    /// True if parts of it can be sent: its octets are the same each time, so that parts fit together.
    pub(super) fn has_parts(self) -> bool {
        matches!(self, Form::Plain | Form::Stored(_))
    }
}
