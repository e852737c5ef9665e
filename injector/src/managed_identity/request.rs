//! What a request asks for, or why it is refused. Pure: the head of the request in.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use keysluice_plan::ENDPOINT_PATH;
use std::net::IpAddr;

/// Most bytes of a request's head; an SDK's has about 500.
pub(super) const MAX_HEAD_BYTES: usize = 8 << 10;
/// Most bytes of a resource. A scope has no more.
const MAX_RESOURCE_BYTES: usize = 1024;
const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
/// The first versions of both protocols that are served.
const APP_SERVICE_VERSION: &str = "2019-08-01";
const IMDS_VERSION: &str = "2018-02-01";

/// Whose words the answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    AppService,
    Imds,
}

/// A request, whatever it asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// `None` where its path is of neither.
    pub(super) protocol: Option<Protocol>,
    /// Whether the connection ends with the answer.
    pub(super) closes: bool,
    /// What is asked.
    pub(super) asked: Result<Asked, Refused>,
}

/// A token for a resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) resource: String,
    pub(super) identity: Wanted,
}

/// By which name an identity is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Default,
    ClientId(String),
    ObjectId(String),
    ResourceId(String),
}

/// Why a request is refused, before any identity is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Malformed(&'static str),
    HeadSize,
    HeadTime,
    Path,
    Method,
    Body,
    Host,
    Forwarded,
    Metadata,
    Header,
    Version(&'static str),
    Twice(&'static str),
    Identities,
    NoResource,
    Resource,
}

/// How many bytes of the buffer are the head of a request, with the empty line.
pub(super) fn head_length(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    (end <= MAX_HEAD_BYTES).then_some(end)
}

impl Request {
    /// Reads a whole head. `header` is what the App Service protocol must show.
    pub(super) fn parse(head: &[u8], header: &str) -> Self {
        let Ok(text) = std::str::from_utf8(head) else {
            return Self::malformed("the head of the request is not text");
        };
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let mut line = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (line.next(), line.next(), line.next(), line.next())
        else {
            return Self::malformed("the request line is not METHOD PATH HTTP/1.1");
        };
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return Self::malformed("the version is not HTTP/1.1");
        }
        let mut headers = Headers { is_old: version == "HTTP/1.0", ..Headers::default() };
        for line in lines {
            let Some((name, value)) = line.split_once(':').filter(|(name, _)| is_token(name))
            else {
                return Self::malformed("a header is not NAME: VALUE");
            };
            headers.take(name, value.trim_matches([' ', '\t']));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let protocol = protocol_of(path);
        let has_body = headers.has_body;
        let closes = has_body || headers.closes();
        let asked = match protocol {
            None => Err(Refused::Path),
            _ if method != "GET" => Err(Refused::Method),
            _ if has_body => Err(Refused::Body),
            Some(protocol) => headers
                .check(protocol, header)
                .and_then(|()| Query::read(query))
                .and_then(|query| query.asked(protocol)),
        };
        let protocol =
            protocol.or_else(|| starts_with(path, "/metadata").then_some(Protocol::Imds));
        Self { protocol, closes, asked }
    }

    const fn malformed(problem: &'static str) -> Self {
        Self { protocol: None, closes: true, asked: Err(Refused::Malformed(problem)) }
    }
}

/// IMDS takes its path in any case, and SDKs append a slash.
fn protocol_of(path: &str) -> Option<Protocol> {
    let path = path.trim_end_matches('/');
    if path.eq_ignore_ascii_case(ENDPOINT_PATH) {
        return Some(Protocol::AppService);
    }
    path.eq_ignore_ascii_case(IMDS_PATH).then_some(Protocol::Imds)
}

fn starts_with(path: &str, prefix: &str) -> bool {
    path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The headers that count.
const KNOWN_HEADERS: [&str; 7] = [
    "host",
    "metadata",
    "x-identity-header",
    "connection",
    "x-forwarded-for",
    "transfer-encoding",
    "content-length",
];

/// What counts of the headers.
#[derive(Default)]
struct Headers<'h> {
    is_old: bool,
    host: Option<&'h str>,
    hosts: usize,
    metadata: Option<&'h str>,
    identity: Option<&'h str>,
    connection: Option<&'h str>,
    is_forwarded: bool,
    has_body: bool,
}

impl<'h> Headers<'h> {
    fn take(&mut self, name: &str, value: &'h str) {
        let known = KNOWN_HEADERS.iter().find(|known| name.eq_ignore_ascii_case(known));
        match known.copied().unwrap_or_default() {
            "host" => {
                self.host = Some(value);
                self.hosts += 1;
            }
            "metadata" => self.metadata = Some(value),
            "x-identity-header" => self.identity = Some(value),
            "connection" => self.connection = Some(value),
            "x-forwarded-for" => self.is_forwarded = true,
            "transfer-encoding" => self.has_body = true,
            "content-length" => self.has_body |= value != "0",
            _ => {}
        }
    }

    fn closes(&self) -> bool {
        self.has_option("close") || (self.is_old && !self.has_option("keep-alive"))
    }

    fn has_option(&self, wanted: &str) -> bool {
        let mut options = self.connection.unwrap_or_default().split(',');
        options.any(|option| option.trim().eq_ignore_ascii_case(wanted))
    }

    /// A page in a browser, a redirect or a proxy that an application is talked into cannot set
    /// these headers.
    fn check(&self, protocol: Protocol, header: &str) -> Result<(), Refused> {
        let is_local = self.host.map_or(self.is_old, is_local);
        if self.hosts > 1 || !is_local {
            return Err(Refused::Host);
        }
        match protocol {
            Protocol::Imds if self.is_forwarded => Err(Refused::Forwarded),
            Protocol::Imds if self.metadata != Some("true") => Err(Refused::Metadata),
            Protocol::AppService => {
                let shown = self.identity.unwrap_or_default().as_bytes();
                verify_slices_are_equal(shown, header.as_bytes()).map_err(|_| Refused::Header)
            }
            Protocol::Imds => Ok(()),
        }
    }
}

/// Whether a `Host` is an address or `localhost`: a name of a stranger's that leads to the loopback
/// (DNS rebinding) is neither.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// What counts of the query; an empty value is as good as none.
#[derive(Default)]
struct Query {
    version: Option<String>,
    resource: Option<String>,
    client_id: Option<String>,
    object_id: Option<String>,
    principal_id: Option<String>,
    mi_res_id: Option<String>,
    msi_res_id: Option<String>,
}

impl Query {
    fn read(query: &str) -> Result<Self, Refused> {
        let mut read = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (field, name) = match name {
                "api-version" => (&mut read.version, "api-version"),
                "resource" => (&mut read.resource, "resource"),
                "client_id" => (&mut read.client_id, "client_id"),
                "object_id" => (&mut read.object_id, "object_id"),
                "principal_id" => (&mut read.principal_id, "principal_id"),
                "mi_res_id" => (&mut read.mi_res_id, "mi_res_id"),
                "msi_res_id" => (&mut read.msi_res_id, "msi_res_id"),
                _ => continue,
            };
            if field.is_some() {
                return Err(Refused::Twice(name));
            }
            let value = decoded(value)
                .ok_or(Refused::Malformed("a value of the query is not percent-encoded text"))?;
            *field = Some(value).filter(|value| !value.is_empty());
        }
        Ok(read)
    }

    fn asked(self, protocol: Protocol) -> Result<Asked, Refused> {
        let oldest = match protocol {
            Protocol::AppService => APP_SERVICE_VERSION,
            Protocol::Imds => IMDS_VERSION,
        };
        if !self.version.is_some_and(|version| is_date(&version) && *version >= *oldest) {
            return Err(Refused::Version(oldest));
        }
        let resource = self.resource.ok_or(Refused::NoResource)?;
        // A scope is one word: with a blank in it, it would be two.
        if resource.len() > MAX_RESOURCE_BYTES
            || !resource.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Refused::Resource);
        }
        let named = [
            self.client_id.map(Wanted::ClientId),
            self.object_id.or(self.principal_id).map(Wanted::ObjectId),
            self.mi_res_id.or(self.msi_res_id).map(Wanted::ResourceId),
        ];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (None, _) => Ok(Asked { resource, identity: Wanted::Default }),
            (Some(identity), None) => Ok(Asked { resource, identity }),
            (Some(_), Some(_)) => Err(Refused::Identities),
        }
    }
}

/// `2018-02-01`; SDKs append nothing to it.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// A value of a query; `None` where it is not UTF-8, or a `%` is not followed by two digits.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
