//! The forms of a proxy and of its exceptions.

/// In the place of a proxy: none, against the operator's.
pub(crate) const NO_PROXY: &str = "none";
/// Far above the list of any cluster; the pod holds a copy.
const MAX_EXCEPTIONS_BYTES: usize = 4096;

/// The value of the annotation; `None` where it is neither a proxy nor `none`.
pub(crate) fn of_annotation(value: &str) -> Option<String> {
    (value == NO_PROXY || is_proxy(value)).then(|| value.to_owned())
}

/// The exceptions as they are written; what Go does not understand it skips, so the sidecar does.
pub(crate) fn exceptions(value: &str) -> Option<String> {
    let fits = value.len() <= MAX_EXCEPTIONS_BYTES && !value.chars().any(char::is_control);
    fits.then(|| value.to_owned())
}

/// What an error shows of a proxy: not its user and password.
pub(crate) fn shown(value: &str) -> &str {
    value.rsplit_once('@').map_or(value, |(_, host)| host)
}

/// `http://proxy.example:3128`, `https://…`, or the same without a scheme. There is no path.
pub(crate) fn is_proxy(text: &str) -> bool {
    let rest = match text.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some(_) => return false,
        None => text,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, authority) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let Some((address, port)) = inner.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("v6", if port.is_empty() { Some("443") } else { port.strip_prefix(':') })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("443")),
        },
    };
    user.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte))
        && !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        && port.is_some_and(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
}
