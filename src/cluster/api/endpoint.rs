//! Where the API server is and who we are: a kubeconfig, or the pod we run in.
//!
//! Read by hand, not by `kube`: its client is 4.5 MiB of code (exec plugins, query languages,
//! regular expressions), a third of the webhook's resident memory, for a handful of fields.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use http::header::HeaderValue;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const POD_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why there is no API server to ask.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file cannot be read.
    #[error("KS705 cannot read {path}: {source}")]
    Read {
        /// The kubeconfig, or a file it names.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// Not YAML.
    #[error("KS705 {path}: {message}")]
    Syntax {
        /// The kubeconfig.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// Something is missing, or not what it should be.
    #[error("KS705 {path}: {field} {problem}")]
    Field {
        /// The kubeconfig.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// Not in a pod.
    #[error(
        "KS705 not in a cluster ({variable} is not set); hint: name an API server with \
         --kubeconfig FILE, or manifests with --objects PATH"
    )]
    NotInCluster {
        /// What tells a pod of its API server.
        variable: &'static str,
    },
    /// Certificates or keys cannot be used.
    #[error("KS705 {what} cannot be used: {source}")]
    Pem {
        /// Which.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The TLS library refuses them.
    #[error("KS705 certificates of the API server's connection cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// The API server's address, and how to speak to it.
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// In front of every path; empty nearly always.
    pub(super) base: String,
    /// `None` for plain HTTP (`kubectl proxy`, tests).
    tls: Option<Tls>,
    token: Source,
}

/// Bytes that stand in the configuration or in a file.
enum Source {
    None,
    Inline(Vec<u8>),
    /// Read again whenever it is used: the kubelet renews tokens and CA by swapping the file,
    /// others a client certificate.
    File(PathBuf),
}

struct Tls {
    name: ServerName<'static>,
    authorities: Source,
    certificate: Source,
    key: Source,
    /// What it was made from, and the configuration with its session tickets.
    made: Mutex<Option<(Credentials, Arc<ClientConfig>)>>,
}

/// The files' content, or what stands in their place.
#[derive(PartialEq, Eq)]
struct Credentials {
    authorities: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Endpoint {
    /// The current context of a kubeconfig.
    pub(super) fn from_kubeconfig(path: &Path) -> Result<Self, ClientError> {
        let read = |source| ClientError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| {
            ClientError::Syntax { path: path.to_owned(), message: error.to_string() }
        })?;
        let config = documents.first().unwrap_or(&Value::Null);
        let wrong = |field, problem| ClientError::Field { path: path.to_owned(), field, problem };
        let current = config["current-context"]
            .as_str()
            .ok_or_else(|| wrong("current-context", "is not set"))?;
        let context = named(&config["contexts"], current, "context")
            .ok_or_else(|| wrong("contexts", "does not have the current one"))?;
        let find = |list, key: &str| named(&config[list], context[key].as_str()?, key);
        let cluster = find("clusters", "cluster")
            .ok_or_else(|| wrong("clusters", "does not have the context's"))?;
        let none = Value::Null;
        let user = find("users", "user").unwrap_or(&none);
        for (object, field, problem) in [
            (
                user,
                "exec",
                "is not supported; hint: put a token there, from `kubectl create token`",
            ),
            (
                user,
                "auth-provider",
                "is not supported; hint: put a token there, from `kubectl create token`",
            ),
            (
                user,
                "password",
                "is not supported; hint: put a token there, from `kubectl create token`",
            ),
            (cluster, "proxy-url", "is not supported"),
        ] {
            if !object[field].is_null() {
                return Err(wrong(field, problem));
            }
        }
        if cluster["insecure-skip-tls-verify"] == true {
            return Err(wrong(
                "insecure-skip-tls-verify",
                "is not supported; hint: set certificate-authority",
            ));
        }
        let base64 = |_| wrong("…-data", "is not base64");
        let directory = path.parent().unwrap_or_else(|| Path::new("."));
        let source = |object: &Value, data: &str, file: &str| match (
            object[data].as_str(),
            object[file].as_str(),
        ) {
            (Some(data), _) => {
                Ok::<_, ClientError>(Source::Inline(BASE64_STANDARD.decode(data).map_err(base64)?))
            }
            (None, Some(file)) => Ok(Source::File(directory.join(file))),
            (None, None) => Ok(Source::None),
        };
        let server = cluster["server"].as_str().and_then(|server| server.parse::<Uri>().ok());
        let server = server
            .ok_or_else(|| wrong("server", "is not an address such as https://10.0.0.1:6443"))?;
        let host = server.host().ok_or_else(|| wrong("server", "has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tls = if server.scheme_str() == Some("http") {
            None
        } else {
            let authorities =
                source(cluster, "certificate-authority-data", "certificate-authority")?;
            if matches!(authorities, Source::None) {
                return Err(wrong("certificate-authority", "is not set"));
            }
            let name = cluster["tls-server-name"].as_str().unwrap_or(host).to_owned();
            let name = ServerName::try_from(name)
                .map_err(|_| wrong("server", "has no host that a certificate can be for"))?;
            let certificate = source(user, "client-certificate-data", "client-certificate")?;
            let key = source(user, "client-key-data", "client-key")?;
            Some(Tls { name, authorities, certificate, key, made: Mutex::default() })
        };
        let token = match (user["tokenFile"].as_str(), user["token"].as_str()) {
            (Some(file), _) => Source::File(directory.join(file)),
            (None, Some(token)) => Source::Inline(token.as_bytes().to_vec()),
            (None, None) => Source::None,
        };
        let default_port = if tls.is_some() { 443 } else { 80 };
        let port = server.port_u16().unwrap_or(default_port);
        let endpoint = Self {
            host: host.to_owned(),
            port,
            base: server.path().trim_end_matches('/').to_owned(),
            tls,
            token,
        };
        endpoint.check()?;
        Ok(endpoint)
    }

    /// What the kubelet tells every pod.
    pub(super) fn in_cluster() -> Result<Self, ClientError> {
        let variable =
            |variable| std::env::var(variable).map_err(|_| ClientError::NotInCluster { variable });
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let not_set = ClientError::NotInCluster { variable: "KUBERNETES_SERVICE_HOST" };
        let name = ServerName::try_from(host.clone()).map_err(|_| not_set)?;
        let authorities = Source::File(Path::new(POD_DIRECTORY).join("ca.crt"));
        let tls = Tls {
            name,
            authorities,
            certificate: Source::None,
            key: Source::None,
            made: Mutex::default(),
        };
        let token = Source::File(Path::new(POD_DIRECTORY).join("token"));
        let port = port.parse().unwrap_or(443);
        let endpoint = Self { host, port, base: String::new(), tls: Some(tls), token };
        endpoint.check()?;
        Ok(endpoint)
    }

    /// Whether everything can be read, so that a wrong path is an error at start and not a retry
    /// for ever.
    fn check(&self) -> Result<(), ClientError> {
        self.tls()?;
        self.authorization()?;
        Ok(())
    }

    /// The `Authorization` header.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, ClientError> {
        let token = self.token.read()?;
        let token = token.trim_ascii();
        if token.is_empty() {
            return Ok(None);
        }
        // A token that cannot stand in a header is none; the API server then says 401.
        let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok();
        Ok(value.map(|mut value| {
            value.set_sensitive(true);
            value
        }))
    }

    /// The configuration of the next connection and the name it must prove; `None` for plain HTTP.
    pub(super) fn tls(
        &self,
    ) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>, ClientError> {
        self.tls.as_ref().map(|tls| Ok((tls.config()?, tls.name.clone()))).transpose()
    }
}

impl Tls {
    fn config(&self) -> Result<Arc<ClientConfig>, ClientError> {
        let read = Credentials {
            authorities: self.authorities.read()?,
            certificate: self.certificate.read()?,
            key: self.key.read()?,
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, config)) = &*made
            && *from == read
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make(&read)?);
        *made = Some((read, Arc::clone(&config)));
        Ok(config)
    }

    fn make(&self, read: &Credentials) -> Result<ClientConfig, ClientError> {
        let pem = |what| move |source| ClientError::Pem { what, source };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&read.authorities) {
            roots.add(certificate.map_err(pem("the certificate authority"))?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots);
        if matches!(self.certificate, Source::None) {
            return Ok(builder.with_no_client_auth());
        }
        let chain = CertificateDer::pem_slice_iter(&read.certificate).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(&read.key).map_err(pem("the client key"))?;
        Ok(builder.with_client_auth_cert(chain.map_err(pem("the client certificate"))?, key)?)
    }
}

impl Source {
    fn read(&self) -> Result<Vec<u8>, ClientError> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Inline(bytes) => Ok(bytes.clone()),
            Self::File(path) => std::fs::read(path)
                .map_err(|source| ClientError::Read { path: path.clone(), source }),
        }
    }
}

/// The element of `list` with this name; its content stands below `key`.
fn named<'a>(list: &'a Value, name: &str, key: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|element| element["name"] == name).map(|element| &element[key])
}

#[cfg(test)]
mod tests {
    use super::*;
    use keysluice_certs::{CertificateAuthority, Pair};
    use std::io::Write as _;

    fn read(cluster: &str, user: &str) -> Result<Endpoint, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::File::create(directory.path().join("token"))
            .unwrap()
            .write_all(b"from-file\n")
            .unwrap();
        let path = directory.path().join("kubeconfig");
        let text = format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: \
             {{{user}}}}}]\n"
        );
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let endpoint = Endpoint::from_kubeconfig(&path).map_err(|error| error.to_string())?;
        assert!(endpoint.authorization().unwrap().is_none_or(|value| value.is_sensitive()));
        Ok(endpoint)
    }

    #[test]
    fn address_and_token_are_read() {
        let endpoint = read("server: 'http://[::1]:8001/base/'", "tokenFile: token, token: inline")
            .ok()
            .unwrap();
        assert_eq!((&*endpoint.host, endpoint.port, &*endpoint.base), ("::1", 8001, "/base"));
        let endpoint = read("server: 'http://k.test'", "token: inline").ok().unwrap();
        assert_eq!((&*endpoint.host, endpoint.port, &*endpoint.base), ("k.test", 80, ""));
        assert_eq!(endpoint.authorization().unwrap().unwrap(), "Bearer inline");
    }

    #[test]
    fn a_renewed_file_makes_the_next_connection_another() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::File::create(directory.path().join(name))
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        };
        let authority = || CertificateAuthority::generate().unwrap();
        let client = || Pair::new(authority().issue(&["client".to_owned()]).unwrap()).unwrap();
        let write_client = |client: &Pair| {
            write("tls.crt", &client.chain_pem());
            write("tls.key", &client.key_pem());
        };
        write("ca.crt", authority().pem());
        write_client(&client());
        write(
            "kubeconfig",
            "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n\
             clusters: [{name: k, cluster: {server: 'https://k.test', certificate-authority: \
             ca.crt}}]\n\
             users: [{name: u, user: {client-certificate: tls.crt, client-key: tls.key}}]\n",
        );
        let endpoint = Endpoint::from_kubeconfig(&directory.path().join("kubeconfig")).unwrap();
        let config = || endpoint.tls().unwrap().unwrap().0;
        let first = config();
        assert!(Arc::ptr_eq(&first, &config()), "with its session tickets");
        write_client(&client());
        let second = config();
        write("ca.crt", authority().pem());
        let third = config();
        assert!(!Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&second, &third));
        assert!(Arc::ptr_eq(&third, &config()));
    }

    #[test]
    fn what_is_missing_or_not_supported_is_named() {
        let https = "server: 'https://k.test:6443'";
        for (cluster, user, expected) in [
            ("server: ''", "token: t", "server is not an address"),
            (https, "token: t", "certificate-authority is not set"),
            (
                "server: 'https://k.test', insecure-skip-tls-verify: true",
                "",
                "insecure-skip-tls-verify is not supported",
            ),
            ("server: 'https://k.test', certificate-authority: ca.crt", "", "ca.crt: No such file"),
            (
                "server: 'https://k.test', certificate-authority-data: '?'",
                "",
                "…-data is not base64",
            ),
            (
                "server: 'http://k.test'",
                "exec: {command: kubelogin}",
                "exec is not supported; hint: put a token there",
            ),
            ("server: 'http://k.test'", "tokenFile: other", "other: No such file"),
        ] {
            let error = read(cluster, user).err().unwrap();
            assert!(error.starts_with("KS705 ") && error.contains(expected), "{error}");
        }
    }
}
