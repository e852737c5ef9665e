//! Which requests go through a proxy: `NO_PROXY` as Go's `httpproxy` reads it, since what else runs
//! in the pod is often written in Go and shares the variable.

use reqwest::{Proxy, Url};
use std::net::IpAddr;
use std::sync::Arc;

/// A proxy that takes what its exceptions do not.
#[derive(Debug, Clone)]
pub(super) struct Route {
    url: Url,
    exceptions: Arc<Exceptions>,
}

impl Route {
    /// `None` when `url` is not that of an HTTP proxy.
    pub(super) fn new(url: &str, no_proxy: &str) -> Option<Self> {
        let exceptions = Arc::new(Exceptions::parse(no_proxy));
        Some(Self { url: address(url)?, exceptions })
    }

    /// For a client.
    pub(super) fn proxy(&self) -> Proxy {
        let route = self.clone();
        Proxy::custom(move |target: &Url| route.takes(target).then(|| route.url.clone()))
    }

    /// Whether a request to `target` goes through the proxy.
    pub(super) fn takes(&self, target: &Url) -> bool {
        let host = target.host_str().zip(target.port_or_known_default());
        host.is_some_and(|(host, port)| !self.exceptions.hold_for(host, port))
    }

    /// The proxy without its user and password, for messages.
    pub(super) fn shown(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{}://{host}:{port}", self.url.scheme())
    }
}

/// `proxy.example:3128` is `http://proxy.example:3128`.
fn address(text: &str) -> Option<Url> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// What is asked directly.
#[derive(Debug, Default, PartialEq, Eq)]
struct Exceptions {
    all: bool,
    rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
enum Rule {
    Network(IpAddr, u8),
    Address(IpAddr, String),
    /// The suffix begins with a dot; `whole` when the name without the dot is meant too. An empty
    /// port is any.
    Domain {
        suffix: String,
        whole: bool,
        port: String,
    },
}

impl Exceptions {
    fn parse(text: &str) -> Self {
        let mut rules = Vec::new();
        for entry in text
            .split(',')
            .map(|entry| entry.trim().to_lowercase())
            .filter(|entry| !entry.is_empty())
        {
            if entry == "*" {
                return Self { all: true, rules: Vec::new() };
            }
            rules.extend(Rule::parse(&entry));
        }
        Self { all: false, rules }
    }

    /// Loopback is asked directly whatever the variable says.
    fn hold_for(&self, host: &str, port: u16) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_lowercase();
        let (address, port) =
            (host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()), port.to_string());
        self.all
            || super::resolver::is_localhost(&host)
            || address.is_some_and(|ip| ip.is_loopback())
            || self.rules.iter().any(|rule| rule.matches(&host, address, &port))
    }
}

impl Rule {
    fn parse(entry: &str) -> Option<Self> {
        if let Some((ip, prefix)) =
            entry.split_once('/').and_then(|(ip, prefix)| network(ip, prefix))
        {
            return Some(Self::Network(ip, prefix));
        }
        let (host, port) = host_and_port(entry).unwrap_or((entry, ""));
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Self::Address(ip.to_canonical(), port.to_owned()));
        }
        let host = if host.starts_with("*.") { &host[1..] } else { host };
        let whole = !host.starts_with('.');
        let suffix = if whole { format!(".{host}") } else { host.to_owned() };
        (!host.is_empty()).then(|| Self::Domain { suffix, whole, port: port.to_owned() })
    }

    fn matches(&self, host: &str, address: Option<IpAddr>, port: &str) -> bool {
        match self {
            Self::Network(network, prefix) => {
                address.is_some_and(|ip| contains(*network, *prefix, ip))
            }
            Self::Address(ip, wanted) => address == Some(*ip) && is_port(wanted, port),
            Self::Domain { suffix, whole, port: wanted } => {
                is_port(wanted, port)
                    && (host.ends_with(suffix.as_str()) || *whole && host == &suffix[1..])
            }
        }
    }
}

/// Whether the port is the wanted one, or any may be.
fn is_port(wanted: &str, port: &str) -> bool {
    wanted.is_empty() || wanted == port
}

/// `10.0.0.0/8`; an IPv4 network that is written as IPv6 is one of IPv4.
fn network(ip: &str, prefix: &str) -> Option<(IpAddr, u8)> {
    let ip: IpAddr = ip.parse().ok()?;
    let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix: u8 = prefix.parse().ok().filter(|_| digits)?;
    let bits = if ip.is_ipv4() { 32 } else { 128 };
    match ip.to_canonical() {
        _ if prefix > bits => None,
        canonical @ IpAddr::V4(_) if bits == 128 => Some((canonical, prefix.checked_sub(96)?)),
        canonical => Some((canonical, prefix)),
    }
}

/// Host and port of `host:port` or `[address]:port`; `None` for what has no port, or more colons
/// than one.
fn host_and_port(entry: &str) -> Option<(&str, &str)> {
    if let Some((host, port)) = entry.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        return Some((host, port)).filter(|(_, port)| !port.contains(':'));
    }
    entry.split_once(':').filter(|(_, port)| !port.contains(':'))
}

fn contains(network: IpAddr, prefix: u8, ip: IpAddr) -> bool {
    let (difference, bits) = match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => (u128::from(network.to_bits() ^ ip.to_bits()), 32),
        (IpAddr::V6(network), IpAddr::V6(ip)) => (network.to_bits() ^ ip.to_bits(), 128),
        _ => return false,
    };
    // A shift by all bits would be none.
    difference.checked_shr(bits - u32::from(prefix)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exceptions_are_those_of_go() {
        let cases: &[(&str, &str, u16, bool)] = &[
            ("", "login.vault.test", 443, false),
            ("*", "login.vault.test", 443, true),
            ("x.test, *", "login.vault.test", 443, true),
            ("vault.test", "login.vault.test", 443, true),
            ("vault.test", "vault.test", 443, true),
            ("vault.test", "myvault.test", 443, false),
            ("vault.test", "vault.test.", 443, false),
            (".vault.test", "login.vault.test", 443, true),
            (".vault.test", "a.login.vault.test", 443, true),
            (".vault.test", "vault.test", 443, false),
            ("*.vault.test", "login.vault.test", 443, true),
            ("*.vault.test", "a.login.vault.test", 443, true),
            ("*.vault.test", "vault.test", 443, false),
            ("*.vault.test", "xvault.test", 443, false),
            ("*vault.test", "login.vault.test", 443, false),
            ("login.*.test", "login.vault.test", 443, false),
            ("login.vault.test:443", "login.vault.test", 443, true),
            ("login.vault.test:8443", "login.vault.test", 443, false),
            ("login.vault.test:8443", "login.vault.test", 8443, true),
            ("login.vault.test:", "login.vault.test", 8443, true),
            ("*.vault.test:443", "login.vault.test", 443, true),
            ("*.vault.test:443", "login.vault.test", 80, false),
            (".vault.test:443", "login.vault.test", 443, true),
            (":443", "login.vault.test", 443, false),
            (" a.test , LOGIN.Vault.Test\t,", "Login.vault.TEST", 443, true),
            ("https://login.vault.test", "login.vault.test", 443, false),
            ("10.1.2.3", "10.1.2.3", 443, true),
            ("10.1.2.3", "10.1.2.30", 443, false),
            ("10.1.2.3:8443", "10.1.2.3", 443, false),
            ("10.1.2.3:443", "10.1.2.3", 443, true),
            ("10.0.0.0/8", "10.1.2.3", 443, true),
            ("10.1.2.3/8", "10.200.2.3", 443, true),
            ("10.0.0.0/8", "11.1.2.3", 443, false),
            ("10.0.0.0/8", "login.vault.test", 443, false),
            ("0.0.0.0/0", "11.1.2.3", 443, true),
            ("10.0.0.0/33", "10.1.2.3", 443, false),
            ("10.0.0.0/+8", "10.1.2.3", 443, false),
            ("2001:db8::1", "[2001:db8::1]", 443, true),
            ("2001:db8::1", "[2001:db8::2]", 443, false),
            ("[2001:db8::1]:443", "[2001:db8::1]", 443, true),
            ("[2001:db8::1]:80", "[2001:db8::1]", 443, false),
            ("[2001:db8::1]", "[2001:db8::1]", 443, false),
            ("2001:db8::/32", "[2001:db8:1::9]", 443, true),
            ("2001:db8::/32", "[2001:db9::9]", 443, false),
            ("::/0", "[2001:db9::9]", 443, true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", 443, true),
            ("10.1.2.3", "[::ffff:10.1.2.3]", 443, true),
            ("", "localhost", 443, true),
            ("", "kv.vault.localhost", 443, true),
            ("", "127.9.9.9", 443, true),
            ("", "[::1]", 443, true),
            ("", "localhost.test", 443, false),
        ];
        for (no_proxy, host, port, expected) in cases {
            assert_eq!(
                Exceptions::parse(no_proxy).hold_for(host, *port),
                *expected,
                "{no_proxy:?} {host}:{port}"
            );
        }
    }

    /// The table of `golang.org/x/net/http/httpproxy`, as its test has it, save for one name:
    /// `local.localhost`, which is loopback by RFC 6761 and so never proxied here.
    #[test]
    fn the_table_of_gos_own_test_holds() {
        let exceptions = Exceptions::parse(
            "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, \
             10.0.0.0/30, 2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, \
             2002:db8:a::45/64",
        );
        for (host, proxied) in [
            ("localhost", false),
            ("127.0.0.1", false),
            ("127.0.0.2", false),
            ("[::1]", false),
            ("[::2]", true),
            ("192.168.1.1", false),
            ("192.168.1.2", true),
            ("192.168.1.3", false),
            ("192.168.1.4", true),
            ("10.0.0.2", false),
            ("[2001:db8::52:0:1]", false),
            ("[2001:db8::52:0:2]", true),
            ("[2001:db8::52:0:3]", false),
            ("[2002:db8:a::123]", false),
            ("[fe80::424b:c8be:1643:a1b6]", true),
            ("barbaz.net", true),
            ("www.barbaz.net", false),
            ("foobar.com", false),
            ("www.foobar.com", false),
            ("foofoobar.com", true),
            ("baz.com", true),
            ("localhost.net", true),
            ("barbarbaz.net", true),
            ("wildcard.io", true),
            ("nested.wildcard.io", false),
            ("awildcard.io", true),
        ] {
            assert_eq!(!exceptions.hold_for(host, 80), proxied, "{host}");
        }
    }

    #[test]
    fn a_route_is_shown_without_its_password() {
        let route = Route::new("user:canary@proxy.test:3128", "*.direct.test").unwrap();
        assert_eq!(route.shown(), "http://proxy.test:3128");
        for (url, taken) in [("https://a.test/", true), ("https://a.direct.test/", false)] {
            assert_eq!(route.takes(&Url::parse(url).unwrap()), taken, "{url}");
        }
    }

    #[test]
    fn a_proxy_needs_no_scheme() {
        for (text, expected) in [
            ("proxy.test:3128", Some("http://proxy.test:3128/")),
            ("proxy.test", Some("http://proxy.test/")),
            ("10.0.0.1:3128", Some("http://10.0.0.1:3128/")),
            ("user:word@proxy.test:3128", Some("http://user:word@proxy.test:3128/")),
            ("https://proxy.test", Some("https://proxy.test/")),
            ("socks5://proxy.test", None),
            ("http://", None),
            ("http://[bad", None),
        ] {
            assert_eq!(address(text).map(String::from).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,40}", host in "\\PC{0,20}") {
            let _ = address(&text);
            Exceptions::parse(&text).hold_for(&host, 443);
        }
    }
}
