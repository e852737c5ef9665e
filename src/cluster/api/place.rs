//! Where an API server is and how it is reached, as messages name it: never with a password.

use super::connection::Source;
use http::Uri;
use kube::Config;
use std::fmt;
use std::path::PathBuf;

/// An API server, the proxy on the way to it, and the kubeconfig that names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    server: String,
    proxy: Option<String>,
    kubeconfig: Option<PathBuf>,
}

impl Place {
    pub(super) fn of(config: &Config, source: &Source) -> Self {
        let path = config.cluster_url.path().trim_end_matches('/');
        Self {
            server: format!("{}{path}", origin(&config.cluster_url)),
            proxy: config.proxy_url.as_ref().map(origin),
            kubeconfig: match source {
                Source::Kubeconfig(path) => Some(path.clone()),
                Source::Pod => None,
            },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server)?;
        if let Some(proxy) = &self.proxy {
            write!(f, " through the proxy {proxy}")?;
        }
        if let Some(path) = &self.kubeconfig {
            write!(f, " (kubeconfig {})", path.display())?;
        }
        Ok(())
    }
}

/// `https://host:port`, without a user name and a password.
pub(super) fn origin(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("http");
    let port = url.port_u16().or(match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "socks5" | "socks5h" => Some(1080),
        _ => None,
    });
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{}{port}", url.host().unwrap_or_default())
}

/// A URL that cannot be parsed, without what stands before an `@`.
pub(super) fn without_user(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    format!("{scheme}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_ports_and_no_password() {
        for (server, proxy, expected) in [
            ("https://k.test", None, "https://k.test:443 (kubeconfig /k)"),
            ("http://[::1]:8001/", None, "http://[::1]:8001 (kubeconfig /k)"),
            (
                "https://rancher.test/k8s/clusters/c-1",
                None,
                "https://rancher.test:443/k8s/clusters/c-1 (kubeconfig /k)",
            ),
            (
                "https://user:SECRET@k.test:6443",
                Some("http://user:SECRET@proxy.test:3128"),
                "https://k.test:6443 through the proxy http://proxy.test:3128 (kubeconfig /k)",
            ),
            (
                "https://k.test:6443",
                Some("socks5://proxy.test"),
                "https://k.test:6443 through the proxy socks5://proxy.test:1080 (kubeconfig /k)",
            ),
        ] {
            let mut config = Config::new(server.parse().unwrap());
            config.proxy_url = proxy.map(|proxy| proxy.parse().unwrap());
            let place = Place::of(&config, &Source::Kubeconfig("/k".into()));
            assert_eq!(place.to_string(), expected);
            assert!(!format!("{place:?}").contains("SECRET"));
        }
        let config = Config::new("https://10.0.0.1".parse().unwrap());
        assert_eq!(Place::of(&config, &Source::Pod).to_string(), "https://10.0.0.1:443");
    }

    #[test]
    fn what_is_not_a_url_is_shown_without_a_password() {
        for (url, expected) in [
            ("a b", "a b"),
            ("https://u:SECRET@k test", "https://k test"),
            ("https://u:SEC@RET/@k.test:x", "https://k.test:x"),
            ("u:SECRET@k.test", "k.test"),
        ] {
            assert_eq!(without_user(url), expected);
        }
    }
}
