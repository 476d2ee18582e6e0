//! Networks as clients are compared with them.

use ipnet::{IpNet, Ipv4Net};

/// `net` as IPv4 where it holds IPv4-mapped addresses only: those of clients are compared as IPv4.
pub fn unmapped(net: IpNet) -> IpNet {
    let mapped = match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => net
            .addr()
            .to_ipv4_mapped()
            .zip(net.prefix_len().checked_sub(96))
            .and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()),
    };
    mapped.map_or(net, IpNet::V4)
}
