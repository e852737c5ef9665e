//! `keysluice jwks`, as a user runs it.

use crate::suite::support::{data, keysluice};
use std::os::unix::fs::PermissionsExt as _;

const FILES: [&str; 5] = [
    "rsa-public.pem",
    "ecpub-prime256v1.pem",
    "ecpub-secp384r1.pem",
    "ecpub-secp521r1.pem",
    "certificate.pem",
];

fn path(file: &str) -> String {
    data().join("jwks").join(file).display().to_string()
}

#[test]
fn jwks_prints_and_writes_what_azwi_does() {
    let files = FILES.map(path).join(",");
    let expected = std::fs::read_to_string(path("expected.json")).unwrap();
    let (code, out, error) = keysluice(&["jwks", "--public-keys", &files]);
    assert_eq!((code, out.as_str(), error.as_str()), (0, expected.as_str(), ""));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    let output = file.display().to_string();
    for _ in 0..2 {
        let arguments = ["jwks", "--public-keys", &files, "--output-file", &output];
        assert_eq!(keysluice(&arguments), (0, String::new(), String::new()));
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn jwks_says_which_file_has_no_key_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("jwks.json").display().to_string();
    let wrong = path("expected.json");
    let arguments = ["jwks", "--public-keys", &wrong, "--output-file", &output];
    let (code, _, error) = keysluice(&arguments);
    assert!(code == 3 && error.contains("KS755") && error.contains("no key in it"), "{error}");
    let (code, _, error) = keysluice(&["jwks", "--public-keys", "missing.pem"]);
    assert!(code == 1 && error.contains("KS755 cannot read missing.pem"), "{code}: {error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    assert_eq!(keysluice(&["jwks"]).0, 2);
    let (_, help, _) = keysluice(&["jwks", "--help"]);
    assert!(help.contains("3 a file without a key"), "{help}");
}
