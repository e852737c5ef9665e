use super::*;
use keysluice_certs::{CertificateAuthority, Pair};
use std::io::Write as _;

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path
}

fn kubeconfig(directory: &Path, cluster: &str, user: &str) -> PathBuf {
    let text = format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: \
         {{{user}}}}}]\n"
    );
    write(directory, "kubeconfig", &text)
}

fn token(directory: &Path, user: &str) -> Option<String> {
    use secrecy::ExposeSecret as _;
    let path = kubeconfig(directory, "server: 'http://k.test'", user);
    let (config, _) = of_kubeconfig(&path).unwrap();
    config.auth_info.token.map(|token| token.expose_secret().to_owned())
}

#[test]
fn a_token_file_goes_before_a_token_and_its_newline_is_not_part_of_it() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "token", "from-file\n");
    for (user, expected) in [
        ("tokenFile: token, token: inline", Some("from-file")),
        ("token: inline", Some("inline")),
        ("", None),
    ] {
        assert_eq!(token(directory.path(), user).as_deref(), expected, "{user}");
    }
}

/// Writes the certificate of a new authority.
fn write_authority(directory: &Path) {
    write(directory, "ca.crt", CertificateAuthority::generate().unwrap().pem());
}

/// Writes a new client certificate and its key.
fn write_client(directory: &Path) {
    let authority = CertificateAuthority::generate().unwrap();
    let pair = Pair::new(authority.issue(&["client".to_owned()]).unwrap()).unwrap();
    write(directory, "tls.crt", &pair.chain_pem());
    write(directory, "tls.key", &pair.key_pem());
}

#[tokio::test]
async fn a_renewed_file_makes_another_client() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    write_authority(directory);
    write_client(directory);
    let path = kubeconfig(
        directory,
        "server: 'https://k.test', certificate-authority: ca.crt",
        "client-certificate: tls.crt, client-key: tls.key",
    );
    let connection = Connection::open(Source::Kubeconfig(path)).unwrap();
    let first = connection.current().await.unwrap();
    let again = connection.current().await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "with its session tickets and connections");
    write_client(directory);
    let second = connection.current().await.unwrap();
    write_authority(directory);
    let third = connection.current().await.unwrap();
    assert!(!Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&second, &third));
    assert!(Arc::ptr_eq(&third, &connection.current().await.unwrap()));
    std::fs::remove_file(directory.join("tls.key")).unwrap();
    assert!(Arc::ptr_eq(&third, &connection.current().await.unwrap()));
    write_authority(directory);
    let error = connection.current().await.err().unwrap().to_string();
    assert!(error.contains("tls.key"), "{error}");
}

#[tokio::test]
async fn what_is_missing_or_not_supported_is_named() {
    let https = "server: 'https://k.test:6443'";
    for (cluster, user, expected) in [
        (
            "server: 'a b'",
            "token: t",
            "server \"a b\" is not a URL; hint: write it as https://HOST:PORT",
        ),
        ("server: 'k.test:6443'", "token: t", "server \"k.test:6443\" is not a URL; hint: "),
        ("server: 'https://u:SECRET@k test'", "", "server \"https://k test\" is not a URL"),
        ("server: 'ftp://k.test'", "", "server \"ftp://k.test\" is not a URL; hint: "),
        (
            "server: 'https://k.test', proxy-url: 'http://u:SECRET@p test'",
            "",
            "proxy-url \"http://p test\" is not a URL; hint: write it as http://HOST:PORT",
        ),
        (
            "server: 'https://k.test', proxy-url: 'ftp://u:SECRET@p.test'",
            "",
            "the proxy ftp://p.test is not supported",
        ),
        ("tls-server-name: x", "token: t", "cluster url is missing"),
        (
            "server: 'https://k.test', insecure-skip-tls-verify: true",
            "",
            "insecure-skip-tls-verify is not supported",
        ),
        ("server: 'https://k.test', certificate-authority: ca.crt", "", "ca.crt"),
        (
            "server: 'https://k.test', certificate-authority-data: '?'",
            "",
            "failed to load certificate authority: failed to decode base64 data",
        ),
        (https, "client-certificate-data: eA==", "failed to load client key"),
        (https, "tokenFile: other", "other: No such file"),
        (
            https,
            "auth-provider: {name: azure, config: {}}",
            "use https://github.com/Azure/kubelogin",
        ),
        (
            https,
            "exec: {command: no-such-plugin}",
            "the exec plug-in no-such-plugin of the kubeconfig cannot be started: No such file",
        ),
        (
            https,
            "exec: {command: sh, args: ['-c', 'echo SECRET >&2; exit 3'], env: [{name: A, \
             value: SECRET}], interactiveMode: Never}",
            "the exec plug-in sh of the kubeconfig failed (exit status: 3); hint: sign in again",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = kubeconfig(directory.path(), cluster, user);
        let error = Connection::open(Source::Kubeconfig(path)).err().unwrap().to_string();
        assert!(error.starts_with("KS705 ") && error.contains(expected), "{error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
}
