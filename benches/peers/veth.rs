//! The kernel's side of the comparison: a client and a server in two namespaces, joined by a veth.

use crate::lab::Namespace;
use crate::site;

/// The server's address.
pub const SERVER: &str = "192.0.2.2";

/// `client` is 192.0.2.1, `server` 192.0.2.2.
pub struct Veth {
    client: Namespace,
    server: Namespace,
}

impl Veth {
    /// Two namespaces with a cable between them.
    pub fn new() -> Veth {
        let veth = Veth { client: site::namespace(), server: site::namespace() };
        join(&veth.client, "192.0.2.1/24", &veth.server, "192.0.2.2/24");
        veth
    }

    pub fn client(&self) -> &Namespace {
        &self.client
    }

    pub fn server(&self) -> &Namespace {
        &self.server
    }
}

/// Lays a veth between two namespaces, one address on each end.
pub fn join(near: &Namespace, near_address: &str, far: &Namespace, far_address: &str) {
    let (near_end, far_end) = (format!("to-{}", tail(far)), format!("to-{}", tail(near)));
    near.run(&format!(
        "ip link add {near_end} type veth peer name {far_end} netns {} && ip address add {near_address} dev {near_end} \
         && ip link set {near_end} up",
        far.name()
    ));
    far.run(&format!("ip address add {far_address} dev {far_end} && ip link set {far_end} up"));
}

/// The number at the end of a namespace's name: the names of devices are short.
fn tail(namespace: &Namespace) -> &str {
    namespace.name().rsplit('-').next().unwrap()
}
