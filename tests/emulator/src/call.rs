//! One request, read whole.

use bytes::Bytes;
use http::{HeaderMap, Method, header};

/// The TLS server names of AKS' token proxy end so.
const TOKEN_PROXY_DOMAIN: &str = ".ests.aks";

/// A request without its socket.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Host and port as the client wrote them.
    pub(crate) authority: String,
    /// Path as the client wrote it.
    pub(crate) path: String,
    /// Decoded query.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Name in the TLS handshake.
    pub(crate) server_name: Option<String>,
}

impl Call {
    pub(crate) fn new(parts: http::request::Parts, body: Bytes) -> Self {
        let authority = parts
            .uri
            .authority()
            .map(http::uri::Authority::as_str)
            .or_else(|| parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()))
            .unwrap_or_default()
            .to_ascii_lowercase();
        Self {
            method: parts.method,
            authority,
            path: parts.uri.path().to_owned(),
            query: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
            headers: parts.headers,
            body,
            server_name: None,
        }
    }

    /// Whether the TLS server name is one of the token proxy.
    pub(crate) fn is_for_token_proxy(&self) -> bool {
        self.server_name.as_deref().is_some_and(|name| name.ends_with(TOKEN_PROXY_DOMAIN))
    }

    /// Host without the port.
    pub(crate) fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }

    /// Segments of the path. Empty ones are dropped: SDKs end a path with a slash and old clients
    /// start it with two.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// First value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as form fields.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        pairs(&self.body)
    }
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}
