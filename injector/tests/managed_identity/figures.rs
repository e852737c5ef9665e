//! What a token from the cache costs; only the released binary has to keep within it.

use super::{Endpoint, HEADER, get};
use crate::support::TestEnv;
use std::fs;
use std::io::{Read, Write};

/// Per CPU second of the sidecar.
const LEAST_REQUESTS: f64 = 10_000.0;
const REQUESTS: u32 = 20_000;

/// CPU time of a process, in seconds.
fn cpu_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    f64::from(ticks) / 100.0
}

#[test]
fn a_cpu_second_gives_ten_thousand_tokens_of_the_cache() {
    let env = TestEnv::new();
    let endpoint = Endpoint::start(&env);
    let target = "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";
    let request = get(endpoint.port, target, &format!("X-IDENTITY-HEADER: {HEADER}"));
    let mut stream = endpoint.connect();
    let mut buffer = vec![0; 16 << 10];
    let mut ask = || {
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = Vec::new();
        loop {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the connection ended");
            text.extend_from_slice(&buffer[..read]);
            if text.ends_with(b"}") {
                return text;
            }
        }
    };
    assert!(ask().starts_with(b"HTTP/1.1 200"));
    let id = endpoint.sidecar.child.id();
    let before = cpu_seconds(id);
    for _ in 0..REQUESTS {
        ask();
    }
    let rate = f64::from(REQUESTS) / (cpu_seconds(id) - before);
    println!("{rate:.0} tokens of the cache per CPU second");
    assert_eq!(env.emulator.counts().tokens, 1);
    if std::env::var_os("KEYSLUICE_TEST_BINARY").is_some() {
        assert!(rate >= LEAST_REQUESTS, "{rate:.0}");
    }
}
