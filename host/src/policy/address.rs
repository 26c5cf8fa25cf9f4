//! Which addresses a command may be sent to: those that a node can have in a network of its own. Pure.
//!
//! EC2 says where an instance is, and what EC2 says decides who gets the command. An answer that is wrong, forged, or of
//! an emulator must not turn a grant to reach a node into one to reach the host itself, or the services beside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is no node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The machine that Hostler itself runs on; the only one that a policy can allow.
    Loopback,
    /// Something that is no node, in words.
    Nobody(&'static str),
}

/// Why nothing may be sent to `address`, whatever form it is written in; none for one that a node can have.
pub(super) fn unfit(address: IpAddr) -> Option<Unfit> {
    match address {
        IpAddr::V4(address) => unfit_v4(address),
        IpAddr::V6(address) => unfit_v6(address),
    }
}

fn unfit_v4(address: Ipv4Addr) -> Option<Unfit> {
    let [first, ..] = address.octets();
    if address.is_loopback() {
        Some(Unfit::Loopback)
    } else if address == Ipv4Addr::new(169, 254, 169, 254) {
        Some(Unfit::Nobody("that of the instance metadata service"))
    } else if address.is_link_local() {
        Some(Unfit::Nobody("a link-local one"))
    } else if address.is_multicast() {
        Some(Unfit::Nobody("a multicast one"))
    } else if address.is_broadcast() {
        Some(Unfit::Nobody("that of everybody"))
    } else if first == 0 {
        // RFC 1122, section 3.2.1.3: "this network". Linux takes 0.0.0.0 for the loopback interface.
        Some(Unfit::Nobody("one of no machine in particular"))
    } else {
        None
    }
}

fn unfit_v6(address: Ipv6Addr) -> Option<Unfit> {
    if address.is_loopback() {
        return Some(Unfit::Loopback);
    }
    if address.is_unspecified() {
        return Some(Unfit::Nobody("one of no machine in particular"));
    }
    if let Some(within) = embedded(address) {
        return unfit_v4(within);
    }
    match address.segments() {
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Some(Unfit::Nobody("that of the instance metadata service")),
        // Metadata, DNS, time and credentials, all for the machine that asks: EC2 User Guide, "Link-local addresses".
        [0xfd00, 0xec2, ..] => Some(Unfit::Nobody("that of a service of EC2 for the machine that asks")),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some(Unfit::Nobody("a link-local one")),
        _ if address.is_multicast() => Some(Unfit::Nobody("a multicast one")),
        _ => None,
    }
}

/// The IPv4 address that an IPv6 address is only another way to write or to reach: mapped and compatible ones (RFC 4291,
/// section 2.5.5), those of NAT64 (RFC 6052) and of 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(address: &str) -> Option<Unfit> {
        unfit(address.parse().unwrap())
    }

    #[test]
    fn a_node_has_an_address_of_its_own() {
        for fit in [
            "10.0.0.1",
            "172.31.255.254",
            "192.168.1.1",
            "100.64.0.1",
            "198.19.0.1",
            "3.120.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.169.254",
            "169.255.0.1",
            "2a05:d014::1",
            "fd12:3456::1",
            "fd00:ec3::254",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
        ] {
            assert_eq!(of(fit), None, "{fit}");
        }
    }

    #[test]
    fn what_is_no_node_is_told_by_any_of_its_names() {
        for loopback in ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1"]
        {
            assert_eq!(of(loopback), Some(Unfit::Loopback), "{loopback}");
        }
        let metadata = Some(Unfit::Nobody("that of the instance metadata service"));
        for service in
            ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "2002:a9fe:a9fe::1"]
        {
            assert_eq!(of(service), metadata, "{service}");
        }
        for nobody in [
            "169.254.0.1",
            "169.254.170.2",
            "fe80::1",
            "febf::1",
            "fd00:ec2::253",
            "fd00:ec2::23",
            "224.0.0.1",
            "239.255.255.250",
            "ff02::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::ffff:0.0.0.0",
            "255.255.255.255",
            "::ffff:255.255.255.255",
            "::ffff:224.0.0.1",
        ] {
            assert!(matches!(of(nobody), Some(Unfit::Nobody(_))), "{nobody}: {:?}", of(nobody));
        }
    }

    proptest! {
        /// Ranges, written out as numbers.
        #[test]
        fn ipv4_agrees_with_the_ranges_whatever_it_is_written_in(
            bits in prop_oneof![any::<u32>(), 0x7eff_fff0_u32..0x8000_0010, 0xa9fd_fff0_u32..0xa9ff_0010, 0u32..0x0100_0010, 0xdfff_fff0_u32..=0xe000_0010]
        ) {
            let first = bits >> 24;
            let bad = first == 0 || first == 127 || bits >> 16 == 0xa9fe || (224..240).contains(&first) || bits == u32::MAX;
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(unfit(v4.into()).is_some(), bad);
            prop_assert_eq!(unfit(v4.to_ipv6_mapped().into()), unfit(v4.into()));
        }
    }
}
