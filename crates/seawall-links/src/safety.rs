//! Which URLs may be shortened.
//!
//! A short link hides where it goes, so it must not go where its reader's machine can and the public cannot:
//! a router's page, a metadata service, something on localhost. Nor to ourselves, where two links can chase
//! each other for ever.
//!
//! ## What is looked at
//!
//! The host as a browser would read it. There are many ways to write 127.0.0.1 (`2130706433`, `0x7f.1`,
//! `017700000001`, `１２７.0.0.1`, `%31%32%37.0.0.1`, `[::ffff:7f00:1]`); the WHATWG parser of the `url` crate turns
//! all of them into an address, and the address is judged. What is kept is the parsed form, not the text that
//! came in: a client that reads odd texts otherwise than we do still goes where we looked.
//!
//! ## What is not
//!
//! No name is looked up. A name may resolve to a private address today or tomorrow, and asking would let
//! anyone make us send queries; who follows the link decides that with their own resolver.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Names that mean this machine in RFC 6761 or in the hosts file of common systems.
const LOCAL_NAMES: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost4.localdomain4",
    "localhost6",
    "localhost6.localdomain6",
    "ip6-localhost",
    "ip6-loopback",
];

/// Networks that are not the public internet's (RFC 6890 and its registry), as (address, prefix length).
/// Documentation networks are left out: nobody's machine is there, and examples use them.
const PRIVATE_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),      // this network, with the unspecified address
    ([10, 0, 0, 0], 8),     // private
    ([100, 64, 0, 0], 10),  // carrier-grade NAT
    ([127, 0, 0, 0], 8),    // loopback
    ([169, 254, 0, 0], 16), // link-local, with the clouds' metadata services
    ([172, 16, 0, 0], 12),  // private
    ([192, 0, 0, 0], 24),   // protocol assignments
    ([192, 168, 0, 0], 16), // private
    ([198, 18, 0, 0], 15),  // benchmarks between own devices
    ([224, 0, 0, 0], 4),    // multicast
    ([240, 0, 0, 0], 4),    // reserved, with broadcast
];

/// Why a URL is not shortened. The texts are shown to clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Longer than allowed, as sent or once every odd character is escaped.
    #[error("the URL has {len} bytes; at most {max} are accepted")]
    TooLong {
        /// Its bytes.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// Not an absolute URL.
    #[error("not a URL: {0}; write it in full, such as https://example.org/page")]
    Malformed(url::ParseError),
    /// Neither http nor https.
    #[error("only http and https can be shortened, not this scheme")]
    Scheme,
    /// `user:password@`.
    #[error("a URL with a user name or password would publish it; remove the part before the @")]
    Credentials,
    /// A host only this machine or its network can reach.
    #[error("the host is private to a machine or network; only public hosts can be shortened")]
    PrivateTarget,
    /// One of our own domains.
    #[error("the URL is on this service's own domain; a link to a link could go round in circles")]
    OwnDomain,
}

/// The rules of one installation.
#[derive(Debug, Clone)]
pub struct Rules {
    own: HashSet<String>,
    len_max: usize,
}

impl Rules {
    /// Refuses `domains` and URLs of more than `len_max` bytes.
    #[must_use]
    pub fn new<'a>(domains: impl IntoIterator<Item = &'a str>, len_max: usize) -> Rules {
        Rules { own: domains.into_iter().filter_map(canonical).collect(), len_max }
    }

    /// The URL in its parsed form: ASCII, absolute, safe in a header.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn check(&self, text: &str) -> Result<String, Refused> {
        self.check_len(text)?;
        let url = Url::parse(text).map_err(Refused::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        // The parser promises a host for these two schemes.
        let host = url.host().ok_or(Refused::Malformed(url::ParseError::EmptyHost))?;
        if self.own.contains(without_dots(&host.to_string())) {
            return Err(Refused::OwnDomain);
        }
        if is_private(&host) {
            return Err(Refused::PrivateTarget);
        }
        self.check_len(url.as_str())?;
        Ok(url.into())
    }

    fn check_len(&self, text: &str) -> Result<(), Refused> {
        if text.len() > self.len_max {
            return Err(Refused::TooLong { len: text.len(), max: self.len_max });
        }
        Ok(())
    }
}

/// A domain as the parser writes it, so that it can be compared. `None` for what is no host.
#[must_use]
pub fn canonical(domain: &str) -> Option<String> {
    let host = Host::parse(domain).ok()?.to_string();
    Some(without_dots(&host).to_owned())
}

/// `example.org.` is `example.org`, asked for without a search list.
fn without_dots(host: &str) -> &str {
    host.trim_end_matches('.')
}

fn is_private(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(v4) => is_private_v4(*v4),
        Host::Ipv6(v6) => is_private_v6(*v6),
        Host::Domain(domain) => {
            let name = without_dots(domain);
            // The parser reads `127.0.0.1.` as an address, `127.0.0.1..` as a name; some resolvers do not.
            if name.len() + 1 < domain.len()
                && let Ok(host @ (Host::Ipv4(_) | Host::Ipv6(_))) = Host::parse(name)
            {
                return match host {
                    Host::Ipv4(v4) => is_private_v4(v4),
                    Host::Ipv6(v6) => is_private_v6(v6),
                    Host::Domain(_) => false,
                };
            }
            name.is_empty() || LOCAL_NAMES.contains(&name) || name.ends_with(".localhost")
        }
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    PRIVATE_V4.iter().any(|(net, len)| (bits ^ u32::from_be_bytes(*net)) >> (32 - len) == 0)
}

/// Its own private ranges, and every way to carry an IPv4 address inside one.
fn is_private_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let v4_at = |i: usize| {
        let [a, b] = s[i].to_be_bytes();
        let [c, d] = s[i + 1].to_be_bytes();
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // ::/96: unspecified, loopback, and the old IPv4-compatible form, which nobody may use any more.
        [0, 0, 0, 0, 0, 0, ..] => true,
        // ::ffff:0:0/96 mapped, and ::ffff:0:0:0/96 translated (SIIT).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => v4_at(6),
        // 64:ff9b::/96, NAT64's well-known prefix.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => v4_at(6),
        // 64:ff9b:1::/48, NAT64 within one network; 100::/64, discard.
        [0x64, 0xff9b, 1, ..] | [0x100, 0, 0, 0, ..] => true,
        // 2002::/16, 6to4.
        [0x2002, ..] => v4_at(1),
        // 2001::/32, Teredo: a server and a disguised client, neither of them a web site.
        [0x2001, 0, ..] => true,
        // 2001:2::/48, benchmarks between own devices, as 198.18.0.0/15.
        [0x2001, 2, 0, ..] => true,
        // fc00::/7 private; fe80::/10 link-local and fec0::/10 site-local; ff00::/8 multicast.
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80 || first >= 0xff00 => true,
        // ISATAP carries IPv4 behind any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => v4_at(6),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> Rules {
        Rules::new(["links.localhost", "Short.Example"], 2048)
    }

    fn refused(url: &str) -> Refused {
        match rules().check(url) {
            Err(why) => why,
            Ok(kept) => panic!("{url:?} was accepted as {kept:?}"),
        }
    }

    #[test]
    fn public_hosts_are_kept_in_their_parsed_form() {
        for (url, kept) in [
            ("https://example.org/a?b=c#d", "https://example.org/a?b=c#d"),
            ("HTTP://EXAMPLE.org", "http://example.org/"),
            ("http://example.org:80/x", "http://example.org/x"),
            ("https://example.org:8443/", "https://example.org:8443/"),
            ("  https://example.org/ ", "https://example.org/"),
            ("https://bücher.example/straße", "https://xn--bcher-kva.example/stra%C3%9Fe"),
            ("http:example.org", "http://example.org/"),
            ("http://example.org\\@10.0.0.1/", "http://example.org/@10.0.0.1/"),
            ("http://8.8.8.8/", "http://8.8.8.8/"),
            ("http://134744072/", "http://8.8.8.8/"),
            ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/"),
            ("http://[::ffff:8.8.8.8]/", "http://[::ffff:808:808]/"),
            ("http://[64:ff9b::8.8.8.8]/", "http://[64:ff9b::808:808]/"),
            ("http://100.63.255.255/", "http://100.63.255.255/"),
            ("http://100.128.0.0/", "http://100.128.0.0/"),
            ("http://172.32.0.1/", "http://172.32.0.1/"),
            ("http://203.0.113.7/", "http://203.0.113.7/"),
            ("http://notlocalhost/", "http://notlocalhost/"),
            ("http://localhost.example.org/", "http://localhost.example.org/"),
            ("http://links.localhost.example.org/", "http://links.localhost.example.org/"),
        ] {
            assert_eq!(rules().check(url).as_deref(), Ok(kept), "{url}");
        }
    }

    #[test]
    fn loopback_is_refused_in_every_notation() {
        for host in [
            "127.0.0.1",
            "127.255.255.254",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7F.0x0.0x0.0x1",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "0177.0x0.1",
            "127.0.0.1.",
            "127.0.0.1..",
            "127。0。0。1",
            "１２７.0.0.1",
            "①②⑦.0.0.1",
            "%31%32%37.0.0.1",
            "%31%32%37%2e0%2E0%2e1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::8.8.8.8]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[fe80::5efe:127.0.0.1]",
            "[2606:4700::5efe:127.0.0.1]",
            "[2606:4700::200:5efe:10.0.0.1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "localhost..",
            "ｌｏｃａｌｈｏｓｔ",
            "loc%61lhost",
            "loc\u{ad}alhost",
            "a.localhost",
            "a.b.localhost.",
            "localhost.localdomain",
            "localhost4",
            "localhost6.localdomain6.",
            "ip6-localhost",
        ] {
            for url in [format!("http://{host}/"), format!("https://{host}:8443/x?y")] {
                assert_eq!(refused(&url), Refused::PrivateTarget, "{url}");
            }
        }
    }

    #[test]
    fn every_private_network_is_refused_at_both_its_ends() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("169.254.0.0", "169.254.169.254"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("224.0.0.1", "239.255.255.255"),
            ("240.0.0.0", "255.255.255.255"),
            ("[::]", "[::2]"),
            ("[fc00::]", "[fdff:ffff::1]"),
            ("[fe80::]", "[febf::1]"),
            ("[fec0::]", "[feff::1]"),
            ("[ff00::]", "[ffff::1]"),
            ("[2001:2::]", "[2001:2:0:ffff::1]"),
            ("[100::]", "[100::ffff]"),
            ("[2002:a00:1::]", "[2002:c0a8:101::1]"),
        ] {
            for host in [first, last] {
                assert_eq!(refused(&format!("http://{host}/")), Refused::PrivateTarget, "{host}");
            }
        }
    }

    #[test]
    fn our_own_domains_are_refused_however_they_are_written() {
        for host in
            ["links.localhost", "LINKS.localhost.", "short.example:8080", "short%2eexample", "ｓhort.example"]
        {
            assert_eq!(refused(&format!("http://{host}/x")), Refused::OwnDomain, "{host}");
        }
    }

    #[test]
    fn only_the_web_is_shortened() {
        for url in [
            "ftp://example.org/",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "mailto:a@b.c",
        ] {
            assert_eq!(refused(url), Refused::Scheme, "{url}");
        }
        for url in [
            "",
            " ",
            "example.org",
            "/path",
            "//example.org",
            "http://",
            "http://[::1",
            "http://a b/",
            "http://1.2.3.4.5/",
        ] {
            assert!(matches!(refused(url), Refused::Malformed(_)), "{url:?}");
        }
    }

    #[test]
    fn names_and_passwords_are_refused() {
        for url in ["http://user@example.org/", "http://user:pw@example.org/", "http://:pw@example.org/"] {
            assert_eq!(refused(url), Refused::Credentials, "{url}");
        }
    }

    #[test]
    fn the_length_counts_before_and_after_escaping() {
        let rules = Rules::new([], 60);
        assert!(rules.check(&format!("https://example.org/{}", "a".repeat(40))).is_ok());
        assert_eq!(
            rules.check(&format!("https://example.org/{}", "a".repeat(41))),
            Err(Refused::TooLong { len: 61, max: 60 })
        );
        // Twenty characters of two bytes become sixty of escapes each.
        let escaped = rules.check(&format!("https://example.org/{}", "ß".repeat(20)));
        assert_eq!(escaped, Err(Refused::TooLong { len: 20 + 20 * 6, max: 60 }));
    }

    /// All the ways the parser has to write one IPv4 address.
    fn notations(v4: Ipv4Addr) -> Vec<String> {
        let [a, b, c, d] = v4.octets();
        let n = v4.to_bits();
        let low24 = n & 0xff_ffff;
        let wide = |text: String| {
            text.chars()
                .map(|c| char::from_u32(u32::from(c) + 0xFEE0).filter(|_| c.is_ascii_digit()).unwrap_or(c))
                .collect::<String>()
        };
        vec![
            v4.to_string(),
            format!("{v4}."),
            format!("{v4}.."),
            n.to_string(),
            format!("{n:#x}"),
            format!("0{n:o}"),
            format!("{a}.{low24}"),
            format!("{a:#x}.{b}.{}", n & 0xffff),
            format!("0{a:o}.0{b:o}.{c:#X}.{d}").replace("0X", "0x"),
            wide(v4.to_string()),
            v4.to_string().bytes().map(|b| format!("%{b:02x}")).collect(),
            format!("[::ffff:{v4}]"),
            format!("[::ffff:0:{v4}]"),
            format!("[64:ff9b::{v4}]"),
            format!("[2002:{:x}:{:x}::1]", n >> 16, n & 0xffff),
            format!("[2606:4700::5efe:{v4}]"),
        ]
    }

    proptest! {
        #[test]
        fn a_notation_never_changes_the_verdict(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let private = is_private_v4(v4);
            for host in notations(v4) {
                // Sixteen forms of one address; the second with two dots is a name when it is public.
                let verdict = rules().check(&format!("http://{host}/"));
                prop_assert_eq!(verdict == Err(Refused::PrivateTarget), private, "{}", host);
            }
        }

        #[test]
        fn fuzz_private_networks_in_every_notation(net in 0..PRIVATE_V4.len(), rest: u32) {
            let (net, len) = PRIVATE_V4[net];
            let v4 = Ipv4Addr::from_bits(u32::from_be_bytes(net) | (rest & (u32::MAX >> len)));
            for host in notations(v4) {
                prop_assert_eq!(rules().check(&format!("http://{host}/")), Err(Refused::PrivateTarget), "{}", host);
            }
        }

        #[test]
        fn fuzz_what_is_accepted_is_accepted_again_and_is_header_safe(text in ".{0,80}|https?:[/\\\\]{0,3}[^ ]{0,60}") {
            if let Ok(kept) = rules().check(&text) {
                prop_assert!(kept.bytes().all(|b| (0x21..0x7f).contains(&b)), "{:?}", kept);
                prop_assert_eq!(rules().check(&kept), Ok(kept.clone()));
            }
        }

        #[test]
        fn fuzz_no_host_text_reaches_a_private_address(host in "[0-9a-fxX.%:\\[\\]０-９。]{1,40}") {
            if let Ok(kept) = rules().check(&format!("http://{host}/")) {
                let kept = Url::parse(&kept).unwrap();
                prop_assert!(!is_private(&kept.host().unwrap()));
            }
        }
    }
}
