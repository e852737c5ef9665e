use super::*;
use crate::pki::der::{Der, integer, octets, oid, sequence};
use crate::pki::fixtures::{der, pfx};
use proptest::prelude::*;

#[track_caller]
fn holds(file: &[u8], keys: &[&str], certificates: &[&str]) {
    let contents = read(file).unwrap();
    let expected: Vec<Vec<u8>> = keys.iter().map(|name| der(&format!("{name}.key"))).collect();
    assert_eq!(contents.keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>(), expected, "keys");
    assert_eq!(
        contents.certificates,
        certificates.iter().map(|name| der(name)).collect::<Vec<_>>(),
        "certificates"
    );
}

#[test]
fn every_encryption_and_mac_of_the_field_is_read() {
    for name in [
        "default",            // PBES2, AES-256, MAC SHA-256: OpenSSL 3
        "legacy",             // RC2-40, 3DES, MAC SHA-1: OpenSSL 1, Windows
        "3des",               // both 3DES
        "rc2-128",            // RC2-128 and 3DES with two keys
        "rc2-40-key",         // the key in RC2-40, MAC SHA-256
        "aes-128-sha384",     // AES-128
        "aes-192-sha512",     // AES-192
        "pbes2-3des",         // PBES2 with 3DES
        "none",               // nothing encrypted
        "nomac",              // no MAC
        "nomac-3des",         // no MAC, so the password's spelling is found by trying
        "no-password-at-all", // a password of no bytes
    ] {
        println!("{name}");
        holds(&pfx(name), &["rsa"], &["rsa"]);
    }
}

#[test]
fn every_kind_of_key_is_read_and_none() {
    for name in ["p384", "p521", "ed25519"] {
        holds(&pfx(name), &[name], &[name]);
    }
    holds(&pfx("keyless"), &[], &["leaf", "root", "intermediate"]);
    for name in ["chain", "legacy-chain", "chain-named"] {
        holds(&pfx(name), &["leaf"], &["leaf", "root", "intermediate"]);
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let (whole, structure) = (pfx("default"), "it is not a whole PKCS#12 file in DER");
    let password = "it has a password, or it is damaged";
    let mut damaged = whole.clone();
    damaged[200] ^= 1;
    let cases: &[(&str, &[u8], &str)] = &[
        ("a password", &pfx("password"), password),
        ("a password, old encryption", &pfx("password-legacy"), password),
        ("a password, no MAC", &pfx("password-nomac"), password),
        ("damaged", &damaged, password),
        (
            "another cipher",
            &pfx("camellia"),
            "it uses the algorithm 1.2.392.200011.61.1.1.1.4, which is not supported",
        ),
        (
            "another MAC",
            &pfx("sha224-mac"),
            "it uses the algorithm 2.16.840.1.101.3.4.2.4, which is not supported",
        ),
        (
            "a denial of service",
            &pfx("iterations"),
            "it asks for more than 2000000 iterations of its key derivation",
        ),
        ("empty", &[], structure),
        ("a certificate", &der("leaf"), structure),
        ("cut", &whole[..whole.len() - 1], structure),
        ("text", b"-----BEGIN CERTIFICATE-----", structure),
    ];
    for (case, file, expected) in cases {
        let error = read(file).err().unwrap_or_else(|| panic!("{case}")).to_string();
        assert_eq!(error, *expected, "{case}");
    }
}

#[test]
fn iterations_of_all_derivations_count_together() {
    // MAC, certificate and key: 2,048 each.
    let file = pfx("default");
    assert!(read_within(&file, "", &mut Budget::of(3 * 2048)).is_ok());
    assert_eq!(
        read_within(&file, "", &mut Budget::of(3 * 2048 - 1)).err(),
        Some(Pkcs12Error::Iterations)
    );
}

#[test]
fn each_block_of_a_key_is_counted() {
    let [aes_128, aes_192, aes_256] =
        [2, 22, 42].map(|last| oid(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, last]));
    let triple_des = oid(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x03, 0x07]);
    let [sha256, sha512] =
        [9, 11].map(|last| sequence(&[&oid(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02, last])]));
    let sha1 = Der::default();
    for (case, function, cipher, vector, blocks) in [
        ("AES-128, SHA-1", &sha1, &aes_128, 16, 1),
        ("AES-192, SHA-1", &sha1, &aes_192, 16, 2),
        ("AES-256, SHA-1", &sha1, &aes_256, 16, 2),
        ("3DES, SHA-1", &sha1, &triple_des, 8, 2),
        ("3DES, SHA-256", &sha256, &triple_des, 8, 1),
        ("AES-256, SHA-256", &sha256, &aes_256, 16, 1),
        ("AES-256, SHA-512", &sha512, &aes_256, 16, 1),
    ] {
        let pbkdf2 = oid(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0C]);
        let derivation =
            sequence(&[&pbkdf2, &sequence(&[&octets(b"salt"), &integer(10), function])]);
        let parameters = sequence(&[&derivation, &sequence(&[cipher, &octets(&vec![0; vector])])]);
        let algorithm =
            [oid(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0D]).as_slice(), &parameters]
                .concat();
        for (units, is_too_little) in [(10 * blocks - 1, true), (10 * blocks, false)] {
            let (file, budget) = (Reader::new(&algorithm), &mut Budget::of(units));
            let error = decrypt(file, &[0; 16], password::NONE[1], budget).err();
            assert_eq!(error == Some(Pkcs12Error::Iterations), is_too_little, "{case}: {error:?}");
        }
    }
}

#[test]
fn what_is_written_is_read_and_is_the_same_each_time() {
    let chain = ["leaf", "intermediate", "root"];
    let ders: Vec<Vec<u8>> = chain.iter().map(|name| der(name)).collect();
    let ders: Vec<&[u8]> = ders.iter().map(Vec::as_slice).collect();
    let key = der("leaf.key");
    let file = write(Some(&key), &ders).unwrap();
    holds(&file, &["leaf"], &chain);
    assert_eq!(*file, *write(Some(&key), &ders).unwrap());
    assert_ne!(*file, *write(Some(&key), &ders[..2]).unwrap());
    holds(&write(None, &ders).unwrap(), &[], &chain);
}

#[test]
fn a_key_is_encrypted_where_it_lies() {
    for length in [0, 15, 16, 121, 1216] {
        let secret = write::encrypted(&vec![7; length], &[1; 32], [2; 16]).unwrap();
        assert_eq!((secret.len(), secret.capacity()), ((length / 16 + 1) * 16, length + 16));
    }
}

#[test]
fn openssl_reads_what_is_written() {
    use std::process::{Command, Stdio};
    let ders = ["leaf", "intermediate", "root"].map(der);
    let file = write(Some(&der("leaf.key")), &ders.each_ref().map(Vec::as_slice)).unwrap();
    if let Ok(path) = std::env::var("KEYSLUICE_KEEP_PFX") {
        std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), &file).unwrap();
    }
    let tool = Command::new("openssl")
        .args(["pkcs12", "-nodes", "-passin", "pass:"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "openssl is not installed");
        return println!("openssl is not installed: not checked");
    };
    std::io::Write::write_all(&mut tool.stdin.take().unwrap(), &file).unwrap();
    let output = tool.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let blocks = crate::pki::pem::blocks(&text);
    let found: Vec<_> = blocks.iter().map(|block| block.der.to_vec()).collect();
    let [leaf, intermediate, root] = ders;
    assert_eq!(found, [leaf, intermediate, root, der("leaf.key")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_change_of_a_file_makes_it_fail(
        changes in prop::collection::vec((0_usize..4000, any::<u8>()), 0..4),
        cut in 0_usize..4000,
    ) {
        for name in ["none", "legacy-chain", "nomac", "nomac-3des"] {
            let mut file = pfx(name);
            for &(at, byte) in &changes {
                let at = at % file.len();
                file[at] = byte;
            }
            if cut < file.len() {
                file.truncate(cut);
            }
            let before = derive::computed();
            let _ = read_within(&file, "", &mut Budget::of(20_000));
            prop_assert!(derive::computed() - before <= 20_000, "no more is computed than the \
                budget has");
        }
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
    }
}
