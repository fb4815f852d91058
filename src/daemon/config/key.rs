//! `[[tcp.key]]`: a peer that must sign its segments (RFC 5925), and the key both sides have.

use super::Spanned;
use crate::transport::tcp::config::{KeyAlgorithm, MasterKey};
use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A key.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TcpKey {
    /// The peers.
    pub peer: IpNet,
    /// The KeyID of what we sign with it.
    pub send_id: u8,
    /// The KeyID of what the peer signs with it.
    pub receive_id: u8,
    /// How it is signed.
    #[serde(default)]
    pub algorithm: KeyAlgorithm,
    /// The secret.
    #[serde(serialize_with = "hidden")]
    pub key: Spanned<String>,
    /// TCP options are signed as well.
    #[serde(default = "super::default_true")]
    pub options: bool,
}

/// What is shown of a configuration shows no secrets.
fn hidden<S: Serializer>(_: &Spanned<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("(hidden)")
}

impl fmt::Debug for TcpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpKey").field("peer", &self.peer).field("send_id", &self.send_id).finish_non_exhaustive()
    }
}

impl TcpKey {
    /// As the transport wants it.
    pub fn master_key(&self) -> MasterKey {
        MasterKey {
            peer: self.peer,
            send_id: self.send_id,
            receive_id: self.receive_id,
            algorithm: self.algorithm,
            secret: self.key.as_ref().clone().into_bytes(),
            covers_options: self.options,
        }
    }
}
