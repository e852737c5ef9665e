//! Kubeconfigs as people have them: exec plug-ins, OIDC, proxies, client certificates.

use super::watches::server_with_accounts;
use crate::suite::support::api_server::ApiServer;
use crate::suite::support::keysluice;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keysluice::cluster::api::{Client, get};
use keysluice_certs::CertificateAuthority;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const ACCOUNT: &str = "/api/v1/namespaces/n/serviceaccounts/app";

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
    path
}

/// A kubeconfig with these further fields of cluster and user.
fn kubeconfig(directory: &Path, server: &str, cluster: &str, user: &str) -> PathBuf {
    let text = format!(
        "current-context: test\n\
         clusters: [{{name: test, cluster: {{server: '{server}'{cluster}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
         users: [{{name: test, user: {{{user}}}}}]\n"
    );
    write(directory, "kubeconfig", &text)
}

fn http(server: &ApiServer) -> String {
    format!("http://{}", server.address())
}

async fn finds_account(client: &Client) -> bool {
    get(client, ACCOUNT).await.unwrap().is_some()
}

/// A plug-in that gives what is in a file, and counts how often it is run.
fn plugin(directory: &Path) -> String {
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\" && echo run >> runs && cat credential\n";
    write(directory, "plugin", script);
    // Run by the shell: a file that was open for writing a moment ago may still be, in another
    // thread's child, and cannot be run itself.
    let path = directory.join("plugin");
    format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['{}'], \
         interactiveMode: Never}}",
        path.display()
    )
}

fn credential(directory: &Path, token: &str) {
    let status = json!({"token": token});
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status,
    });
    write(directory, "credential", &credential.to_string());
}

#[tokio::test]
async fn an_exec_plug_in_is_run_again_only_when_its_token_is_refused() {
    let (server, scratch) = (server_with_accounts(), tempfile::tempdir().unwrap());
    credential(scratch.path(), "t");
    let path = kubeconfig(scratch.path(), &http(&server), "", &plugin(scratch.path()));
    let client = Client::connect(Some(&path)).unwrap();
    let runs = || std::fs::read_to_string(scratch.path().join("runs")).unwrap().lines().count();
    let before = runs();
    for _ in 0..3 {
        assert!(finds_account(&client).await);
    }
    assert_eq!(runs(), before);
    server.world().token = "renewed";
    credential(scratch.path(), "renewed");
    assert!(get(&client, ACCOUNT).await.unwrap_err().to_string().contains("401"));
    assert!(finds_account(&client).await);
    assert!(runs() > before);
}

#[test]
fn a_command_says_that_the_plug_in_failed_and_nothing_of_what_it_printed() {
    let scratch = tempfile::tempdir().unwrap();
    // Without `credential` it fails.
    let path = kubeconfig(scratch.path(), "https://k.test", "", &plugin(scratch.path()))
        .display()
        .to_string();
    let (exit, _, error) = keysluice(&["doctor", "--pre", "--kubeconfig", &path]);
    assert_eq!(exit, 2, "{error}");
    assert!(
        error.contains(
            "KS705 the exec plug-in sh of the kubeconfig failed (exit status: 1); hint: "
        ),
        "{error}"
    );
}

#[tokio::test]
async fn an_oidc_token_is_presented() {
    let (server, scratch) = (server_with_accounts(), tempfile::tempdir().unwrap());
    let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!(
        "{}.{}.c2ln",
        part(json!({"alg": "none"})),
        part(json!({"exp": 4_102_444_800_u64}))
    );
    server.world().token = Box::leak(token.clone().into_boxed_str());
    let user = format!("auth-provider: {{name: oidc, config: {{id-token: '{token}'}}}}");
    let path = kubeconfig(scratch.path(), &http(&server), "", &user);
    assert!(finds_account(&Client::connect(Some(&path)).unwrap()).await);
}

/// Tunnels what asks for it; gives its address and the heads it was sent.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heads) = (listener.local_addr().unwrap().to_string(), Arc::default());
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(tunnel(stream, Arc::clone(&seen)));
        }
    });
    (address, heads)
}

async fn tunnel(stream: TcpStream, seen: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let (mut stream, mut head) = (BufReader::new(stream), String::new());
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(head);
    let mut onward = TcpStream::connect(target).await?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut onward).await.map(drop)
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel() {
    let (server, scratch) = (server_with_accounts(), tempfile::tempdir().unwrap());
    let (address, heads) = proxy().await;
    let cluster = format!(", proxy-url: 'http://user:word@{address}'");
    let path = kubeconfig(scratch.path(), &http(&server), &cluster, "token: t");
    assert!(finds_account(&Client::connect(Some(&path)).unwrap()).await);
    let heads = heads.lock().unwrap();
    assert!(heads[0].starts_with(&format!("CONNECT {} ", server.address())), "{heads:?}");
    let authorization = heads[0].to_lowercase();
    assert!(authorization.contains("proxy-authorization: basic dxnlcjp3b3jk"), "{heads:?}");
}

/// A client's certificate and key, and the authority that issued it.
fn client_certificate() -> (String, String, CertificateDer<'static>) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = ca.self_signed(&ca_key).unwrap().der().clone();
    let mut client = CertificateParams::default();
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = client.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().pem();
    (certificate, key.serialize_pem(), authority)
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (server, scratch) = (server_with_accounts(), tempfile::tempdir().unwrap());
    let authority = CertificateAuthority::generate().unwrap();
    let leaf = authority.issue(&["127.0.0.1".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    let (certificate, key, clients) = client_certificate();
    roots.add(clients).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(leaf.chain, leaf.key)
        .unwrap();
    server.world().tls = Some(Arc::new(config));
    write(scratch.path(), "ca.crt", authority.pem());
    write(scratch.path(), "tls.crt", &certificate);
    write(scratch.path(), "tls.key", &key);
    let address = format!("https://{}", server.address());
    let cluster = ", certificate-authority: ca.crt";
    let user = "token: t, client-certificate: tls.crt, client-key: tls.key";
    let path = kubeconfig(scratch.path(), &address, cluster, user);
    assert!(finds_account(&Client::connect(Some(&path)).unwrap()).await);
    let path = kubeconfig(scratch.path(), &address, cluster, "token: t");
    let error = get(&Client::connect(Some(&path)).unwrap(), ACCOUNT).await.unwrap_err();
    let expected = format!("no answer from the API server at {address} (kubeconfig ");
    assert!(error.to_string().starts_with(&expected), "{error}");
}
