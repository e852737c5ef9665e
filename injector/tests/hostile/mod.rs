//! Contents that a hostile vault, or whoever may write a secret, thought out: the sidecar answers,
//! ends when it is told to, and stays within the memory that the webhook gives it for the smallest
//! volume.

use crate::content::{env, file};
use crate::support::{Cgroup, TestEnv, loudly, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keysluice_emulator::seed::SecretSeed;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const LIMIT_BYTES: usize = 18 << 20;
/// What was half a minute must not be more than this on the slowest machine.
const PROMPT: Duration = Duration::from_secs(5);

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    [&[tag, 0x84][..], &length, &value].concat()
}

fn block(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

const P521: &[u8] = &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23];

/// `ECPrivateKey` on P-521.
fn p521(number: &[u8]) -> String {
    let key = tlv(0x30, &[&tlv(2, &[&[1]]), &tlv(4, &[number]), &tlv(0xA0, &[P521])]);
    block("EC PRIVATE KEY", &key)
}

/// PKCS#12 without a MAC, whose one part takes so many iterations.
fn pkcs12(iterations: u32, parts: usize) -> String {
    let oid = |bytes: &[u8]| tlv(6, &[bytes]);
    let pkcs7 = |last| oid(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, last]);
    let sha512 = tlv(0x30, &[&oid(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02, 0x0B])]);
    let count = tlv(2, &[&[0], &iterations.to_be_bytes()]);
    let pbkdf2 = oid(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0C]);
    let derivation = tlv(0x30, &[&pbkdf2, &tlv(0x30, &[&tlv(4, &[b"salt"]), &count, &sha512])]);
    let aes = oid(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2A]);
    let parameters = tlv(0x30, &[&derivation, &tlv(0x30, &[&aes, &tlv(4, &[&[0; 16]])])]);
    let pbes2 =
        tlv(0x30, &[&oid(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0D]), &parameters]);
    let encrypted =
        tlv(0x30, &[&tlv(2, &[&[0]]), &tlv(0x30, &[&pkcs7(1), &pbes2, &tlv(0x80, &[&[0; 16]])])]);
    let part = tlv(0x30, &[&pkcs7(6), &tlv(0xA0, &[&encrypted])]);
    let safe = tlv(0x30, &[&part.repeat(parts)]);
    let data = tlv(0x30, &[&pkcs7(1), &tlv(0xA0, &[&tlv(4, &[&safe])])]);
    STANDARD.encode(tlv(0x30, &[&tlv(2, &[&[3]]), &data]))
}

/// PKCS#1 with a modulus of so many bytes.
fn rsa(bytes: usize) -> String {
    let number = tlv(2, &[&[0], &vec![0xC5; bytes]]);
    block(
        "RSA PRIVATE KEY",
        &tlv(0x30, &[&tlv(2, &[&[0]]), &number, &tlv(2, &[&[1, 0, 1]]), &number]),
    )
}

/// A certificate with these names and nothing that is true.
fn certificate(subject: u32, issuer: u32) -> String {
    let name = |name: u32| tlv(0x30, &[&tlv(4, &[&name.to_be_bytes()])]);
    let empty = tlv(0x30, &[]);
    let tbs = tlv(0x30, &[&tlv(2, &[&[1]]), &empty, &name(issuer), &empty, &name(subject), &empty]);
    block("CERTIFICATE", &tlv(0x30, &[&tbs, &empty, &tlv(3, &[&[0]])]))
}

fn put(env: &TestEnv, name: &str, value: impl Into<String>, content_type: Option<&str>) {
    let content_type = content_type.map(str::to_owned);
    env.emulator
        .put_secret("shop", name, SecretSeed { content_type, ..SecretSeed::new(value.into()) })
        .unwrap();
}

fn cgroup() -> Option<Cgroup> {
    let cgroup = Cgroup::new(LIMIT_BYTES);
    if cgroup.is_none() {
        loudly("the memory of hostile contents", "no memory cgroup, or no right to make one");
    }
    cgroup
}

/// Starts with this Plan, asks for `status` while contents are taken apart, and ends it by SIGTERM;
/// tells what it took.
fn withstands(env: &TestEnv, case: &str, plan: &Value, done: impl Fn(&Value) -> bool) {
    let socket = env.root.join("run/keysluice/control.sock");
    let _ = std::fs::remove_file(&socket);
    let cgroup = cgroup();
    let sidecar = env.run_within(plan, cgroup.as_ref());
    // A socket that exists may not accept connections yet.
    until("it listens", || UnixStream::connect(&socket).is_ok());
    let (started, mut slowest) = (Instant::now(), Duration::ZERO);
    loop {
        let asked = Instant::now();
        let status = sidecar.status();
        slowest = slowest.max(asked.elapsed());
        assert!(slowest < PROMPT, "{case}: status took {slowest:?}");
        if done(&status) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{case}: {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (took, asked) = (started.elapsed(), Instant::now());
    sidecar.signal(Signal::TERM);
    let ended = sidecar.wait();
    assert!(asked.elapsed() < PROMPT, "{case}: SIGTERM took {:?}", asked.elapsed());
    assert_eq!(ended.code(), Some(0), "{case}: {ended:?} {}", env.log());
    let (kills, peak) =
        cgroup.map(|cgroup| (cgroup.kills(), cgroup.peak_bytes())).unwrap_or_default();
    println!("{case}: known after {took:?}, slowest status {slowest:?}, peak {} KiB", peak >> 10);
    assert_eq!(kills, 0, "{case}");
}

fn told(status: &Value, codes: &[&str]) -> bool {
    let files = status["volumes"][0]["files"].as_array().unwrap();
    files.iter().all(|file| codes.iter().any(|code| file["error"]["code"] == *code))
}

#[test]
fn keys_certificates_and_documents_without_end_are_refused_promptly_and_within_the_memory() {
    let parts = ["cert", "chain", "key", "ca", "pfx"];
    let many = |text: &str| text.repeat(240_000 / (text.len() + text.matches('\n').count()));
    let pem = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    let ring = |links: u32| {
        (0..links).map(|link| certificate(link, (link + 1) % links)).collect::<String>()
    };
    let chain = |links: u32| (0..links).map(|link| certificate(link, link + 1)).collect::<String>();
    for (case, value, content_type, code) in [
        ("2,955 keys with the number 7", many(&p521(&[7])), None, "KS432"),
        ("699 keys", many(&p521(&[0x5A; 65])), None, "KS432"),
        ("2,000,000 iterations", pkcs12(2_000_000, 1), Some("application/x-pkcs12"), "KS426"),
        (
            "600 parts of 4,000 iterations",
            pkcs12(4_000, 600),
            Some("application/x-pkcs12"),
            "KS426",
        ),
        ("4,294,967,295 iterations", pkcs12(u32::MAX, 1), Some("application/x-pkcs12"), "KS426"),
        ("RSA keys of 16,384 bits", many(&rsa(2048)), None, "KS432"),
        ("one RSA key of a megabit", rsa(90_000), None, "KS425"),
        ("many small blocks", many(pem), None, "KS426"),
        ("a ring of 99 certificates", ring(99), None, "KS426"),
        ("certificates without end", chain(900), None, "KS432"),
        ("BEGIN lines", many("-----BEGIN CERTIFICATE-----\n"), None, "KS426"),
        ("END lines", many("\n-----END CERTIFICATE-----"), None, "KS426"),
    ] {
        let env = env();
        put(&env, "hostile", value, content_type);
        let items: Vec<Value> = (0..20)
            .map(|at| {
                file(&env, &format!("{at}"), "hostile", &json!({"part": parts[at % parts.len()]}))
            })
            .filter(|item| case != "one RSA key of a megabit" || item["part"] != "key")
            .collect();
        withstands(&env, case, &env.plan(&items), |status| told(status, &[code, "KS425"]));
    }
}

#[test]
fn one_answer_is_taken_apart_once_however_many_files_come_of_it() {
    let env = env();
    put(&env, "hostile", pkcs12(1_900_000, 1), Some("application/x-pkcs12"));
    let took = |files: usize| {
        let items: Vec<Value> = (0..files)
            .map(|at| file(&env, &format!("{at}"), "hostile", &json!({"part": "key"})))
            .collect();
        let started = Instant::now();
        let output = env.output(&env.plan(&items), &["once"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        started.elapsed()
    };
    let one = took(1);
    let (many, bound) = (took(40), one * 8 + Duration::from_secs(2));
    println!("one file {one:?}, 40 files {many:?}");
    assert!(many < bound, "40 files took {many:?}, one {one:?}");
}

#[test]
fn a_signal_ends_it_in_the_middle_of_a_key_derivation() {
    let env = env();
    put(&env, "hostile", pkcs12(1_900_000, 1), Some("application/x-pkcs12"));
    let plan = env.plan(&[file(&env, "key", "hostile", &json!({"part": "key"}))]);
    let sidecar = env.run(&plan);
    until("the answer is there", || env.emulator.counts().secret_gets == 1);
    let asked = Instant::now();
    assert_eq!(sidecar.status()["ready"], false);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait().code(), Some(0));
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
}

#[test]
fn documents_and_values_of_any_shape_are_taken_apart_within_the_memory() {
    let env = env();
    let deep = format!("{}1{}", "[".repeat(120_000), "]".repeat(120_000));
    let wide = format!("{{{}\"z\":1}}", "\"a\":0,".repeat(25_000));
    put(&env, "deep", deep, None);
    put(&env, "wide", wide, None);
    put(&env, "hex", "41".repeat(120_000), None);
    put(&env, "base64", "QUFB".repeat(62_000), None);
    put(&env, "escapes", "\u{1}".repeat(30_000), None);
    put(&env, "utf-16", "-\0-\0-\0-\0-\0B\0E\0G\0I\0N\0 \0".repeat(2_000), None);
    let key = "[0]".repeat(30);
    let items = [
        file(&env, "deep", "deep", &json!({"jsonKey": key})),
        file(&env, "wide", "wide", &json!({"jsonKey": "z"})),
        file(&env, "hex", "hex", &json!({"encoding": "hex"})),
        file(&env, "base64", "base64", &json!({"encoding": "base64"})),
        file(&env, "escapes", "escapes", &json!({})),
    ];
    withstands(&env, "large values", &env.plan(&items), |status| status["ready"] == true);
    let part = [file(&env, "part", "utf-16", &json!({"part": "cert"}))];
    withstands(&env, "UTF-16", &env.plan(&part), |status| told(status, &["KS426"]));
}

#[test]
fn a_long_history_of_large_values_is_refused_in_words_and_not_by_the_kernel() {
    let Some(_) = cgroup() else { return };
    let env = env();
    for version in 0..120 {
        let value =
            SecretSeed { created: Some(1000 + version), ..SecretSeed::new("x".repeat(200_000)) };
        env.emulator.put_secret("shop", "old", value).unwrap();
    }
    let items: Vec<Value> =
        (0..20).map(|at| file(&env, &format!("{at}"), "old", &json!({"history": 500}))).collect();
    withstands(&env, "a history", &env.plan(&items), |status| told(status, &["KS433"]));
}

#[test]
fn the_bound_of_the_start_holds_while_contents_are_taken_apart() {
    let env = env();
    for version in 0..40 {
        let value = (0..16_u8).map(|number| p521(&[number + 1; 60])).collect::<String>();
        let value = SecretSeed { created: Some(1000 + version), ..SecretSeed::new(value) };
        env.emulator.put_secret("shop", "hostile", value).unwrap();
    }
    let history = |at: usize, part: &str| {
        file(&env, &format!("{at}-{part}"), "hostile", &json!({"part": part, "history": 500}))
    };
    let items: Vec<Value> = (0..20)
        .flat_map(|at| ["cert", "chain", "key", "ca", "pfx"].map(|part| history(at, part)))
        .collect();
    let mut plan = env.plan(&items);
    plan["startTimeoutSeconds"] = 1.into();
    let (cgroup, started) = (cgroup(), Instant::now());
    let ended = env.run_within(&plan, cgroup.as_ref()).wait();
    assert!(
        ended.code() == Some(1) && started.elapsed() < Duration::from_secs(1) + PROMPT,
        "{ended:?} {started:?}"
    );
    assert_eq!(cgroup.map(|cgroup| cgroup.kills()).unwrap_or_default(), 0);
}
