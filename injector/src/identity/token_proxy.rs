//! Token requests to the token proxy of AKS identity bindings.
//!
//! It has another name in its certificate than in its URL, and authorities of its own. Microsoft's
//! SDKs rewrite the request in the same way: host of the proxy, its path before that of the
//! request.

use super::error::IdentityError;
use crate::file::read_regular;
use crate::http::{Http, HttpError};
use keysluice_plan::TokenProxy;
use reqwest::header::HOST;
use reqwest::{RequestBuilder, Url};
use std::path::Path;

/// As long as a ConfigMap may be.
const MAX_AUTHORITIES_BYTES: u64 = 1 << 20;

/// A request to the proxy in the place of `url`. A file of authorities is read for each, since the
/// kubelet replaces it.
pub(super) fn post(
    http: &Http,
    proxy: &TokenProxy,
    url: &str,
) -> Result<RequestBuilder, IdentityError> {
    let given = match (&proxy.ca_file, &proxy.ca) {
        (Some(path), _) => {
            let read = read_regular(Path::new(path), MAX_AUTHORITIES_BYTES);
            let read = read.map_err(|error| unusable(path, error.to_string()))?;
            Some((&**path, read.to_vec()))
        }
        (None, Some(pem)) => Some(("tokenProxy.ca", pem.clone().into_bytes())),
        (None, None) => None,
    };
    let given = given.as_ref().map(|(origin, pem)| (*origin, pem.as_slice()));
    let (mut target, host) = rewritten(proxy, url)?;
    let mut alias = None;
    if let Some(name) = &proxy.server_name {
        let real = target.host_str().unwrap_or_default();
        let real = real.trim_start_matches('[').trim_end_matches(']').to_owned();
        // The name becomes that of the URL, which rustls checks the certificate for.
        target.set_host(Some(name)).map_err(|_| invalid(proxy))?;
        alias = Some((target.host_str().unwrap_or_default().to_owned(), real));
    }
    let client = http.direct_client(given, alias).map_err(|error| match error {
        HttpError::Roots { origin, problem } => unusable(&origin, problem),
        other => other.into(),
    })?;
    Ok(client.post(target).header(HOST, host))
}

fn unusable(origin: &str, problem: String) -> IdentityError {
    IdentityError::TokenProxyAuthorities { origin: origin.to_owned(), problem }
}

/// The URL at the proxy, and its host and port as a header has them.
fn rewritten(proxy: &TokenProxy, url: &str) -> Result<(Url, String), IdentityError> {
    if proxy.url.contains('@') {
        return Err(invalid(proxy));
    }
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let target = format!("{}/{path}", proxy.url.trim_end_matches('/'));
    let target = Url::parse(&target).map_err(|_| invalid(proxy))?;
    let mut host = target.host_str().unwrap_or_default().to_owned();
    if let Some(port) = target.port() {
        host = format!("{host}:{port}");
    }
    Ok((target, host))
}

fn invalid(proxy: &TokenProxy) -> IdentityError {
    IdentityError::Authority { authority: proxy.url.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_keeps_its_path_below_that_of_the_proxy() {
        let token_url = "https://login.microsoftonline.com/t/oauth2/v2.0/token";
        for (url, expected, host) in [
            ("https://k.svc", "https://k.svc/t/oauth2/v2.0/token", "k.svc"),
            ("https://k.svc:443/", "https://k.svc/t/oauth2/v2.0/token", "k.svc"),
            ("https://k.svc:8443/a/b", "https://k.svc:8443/a/b/t/oauth2/v2.0/token", "k.svc:8443"),
            ("https://[fd00::1]:1", "https://[fd00::1]:1/t/oauth2/v2.0/token", "[fd00::1]:1"),
        ] {
            let proxy =
                TokenProxy { url: url.to_owned(), server_name: None, ca_file: None, ca: None };
            let (target, header) = rewritten(&proxy, token_url).unwrap();
            assert_eq!((target.as_str(), &*header), (expected, host), "{url}");
        }
        let url = "https://u:canary@k.svc".to_owned();
        let proxy = TokenProxy { url, server_name: None, ca_file: None, ca: None };
        let fault = rewritten(&proxy, token_url).unwrap_err().fault().to_string();
        assert!(fault.starts_with("KS315 authority \"https://k.svc\" is not an https URL without"));
        assert!(!fault.contains("canary"), "{fault}");
    }
}
