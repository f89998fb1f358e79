//! Which addresses may be called: the rule against server-side request forgery.
//!
//! A target is a name until it is connected to, and a name can point anywhere, differently each time it is
//! asked. So the rule is applied to the very address a connection is then made to (see
//! [`super::connect`]), never to a name. What is not globally routable is refused unless the operator listed
//! its network; the ranges are those of the IANA special-purpose registries. Addresses that carry another
//! inside (IPv4-mapped, NAT64) are judged by the inner one.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 ranges that are not the open internet (IANA IPv4 special-purpose registry, plus multicast).
const SPECIAL_V4: [(Ipv4Net, &str); 15] = [
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "carrier-grade NAT"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "protocol assignments"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// IPv6 ranges inside the global unicast block that are not the open internet all the same.
const SPECIAL_V6: [(Ipv6Net, &str); 4] = [
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "protocol assignments or Teredo"),
    (v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
];

/// All that is handed out as global unicast so far.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// The well-known NAT64 prefix (RFC 6052): the last 32 bits are an IPv4 address.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// Where clouds hand out credentials to whoever asks from inside.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix)
}

/// What may be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Networks that the operator listed.
    pub allow: Vec<IpNet>,
    /// Whether loopback is the neighbour that the config file names.
    pub neighbour: bool,
}

impl Reach {
    /// Judges the address that is about to be connected to.
    ///
    /// # Errors
    /// The name of the range that it is refused for.
    pub fn judge(&self, address: IpAddr) -> Result<(), &'static str> {
        let inner = innermost(address);
        if METADATA.contains(&inner) {
            let listed =
                self.allow.iter().any(|net| net.addr() == inner && net.prefix_len() == net.max_prefix_len());
            return if listed { Ok(()) } else { Err("cloud metadata") };
        }
        let Some(range) = special(inner) else { return Ok(()) };
        if self.neighbour && inner.is_loopback() {
            return Ok(());
        }
        if self.allow.iter().any(|net| net.contains(&inner) || net.contains(&address)) {
            Ok(())
        } else {
            Err(range)
        }
    }
}

/// The address that packets to `address` end at.
fn innermost(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(mapped) = v6.to_ipv4_mapped() {
        return IpAddr::V4(mapped);
    }
    if NAT64.contains(&v6) {
        let [.., a, b, c, d] = v6.octets();
        return IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    }
    address
}

/// The special range that `address` lies in.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => SPECIAL_V4.iter().find(|(net, _)| net.contains(&v4)).map(|(_, name)| *name),
        IpAddr::V6(v6) if v6.is_loopback() => Some("loopback"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("multicast"),
        IpAddr::V6(v6) if v6.is_unique_local() => Some("unique local"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("link-local"),
        IpAddr::V6(v6) if !GLOBAL_V6.contains(&v6) => Some("not global unicast"),
        IpAddr::V6(v6) => SPECIAL_V6.iter().find(|(net, _)| net.contains(&v6)).map(|(_, name)| *name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(reach: &Reach, address: &str) -> Result<(), &'static str> {
        reach.judge(address.parse().expect("an address"))
    }

    #[test]
    fn refuses_what_is_not_the_open_internet() {
        let reach = Reach::default();
        let refused = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "100::1",
            "3fff::1",
            "5f00::1",
        ];
        for address in refused {
            assert!(judge(&reach, address).is_err(), "{address}");
        }
        for address in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
        {
            assert_eq!(judge(&reach, address), Ok(()), "{address}");
        }
    }

    #[test]
    fn listed_networks_may_be_called_but_metadata_only_by_itself() {
        let allow = ["10.0.0.0/8", "169.254.0.0/16", "fd00::/8"].map(|net| net.parse().expect("a network"));
        let reach = Reach { allow: allow.to_vec(), neighbour: false };
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "169.254.1.1", "fd12::1"] {
            assert_eq!(judge(&reach, address), Ok(()), "{address}");
        }
        for address in
            ["192.168.0.1", "127.0.0.1", "169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"]
        {
            assert!(judge(&reach, address).is_err(), "{address}");
        }
        let exact = Reach { allow: vec!["169.254.169.254/32".parse().expect("a network")], neighbour: false };
        assert_eq!(judge(&exact, "169.254.169.254"), Ok(()));
    }

    #[test]
    fn a_neighbour_is_loopback_and_nothing_else() {
        let reach = Reach { allow: Vec::new(), neighbour: true };
        assert_eq!(judge(&reach, "127.0.0.1"), Ok(()));
        assert_eq!(judge(&reach, "::1"), Ok(()));
        for address in ["10.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0"] {
            assert!(judge(&reach, address).is_err(), "{address}");
        }
    }
}
