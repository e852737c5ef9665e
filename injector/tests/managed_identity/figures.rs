//! What a token from the cache costs; only the released binary has to keep within it, which `make
//! test-static` runs.

use super::{Endpoint, HEADER, get};
use crate::support::TestEnv;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Per CPU second of the sidecar.
const LEAST_REQUESTS: f64 = 10_000.0;
const REQUESTS: u32 = 20_000;
/// Each of these leaves a port behind for a minute.
const CONNECTIONS: u32 = 5_000;

/// CPU time of a process, in seconds.
fn cpu_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    f64::from(ticks) / 100.0
}

/// A client of the endpoint.
struct Client<'e> {
    endpoint: &'e Endpoint<'e>,
    request: String,
}

impl Client<'_> {
    fn ask(&self, stream: &mut TcpStream) {
        stream.write_all(self.request.as_bytes()).unwrap();
        let (mut text, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
        while !text.ends_with(b"}") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the connection ended");
            text.extend_from_slice(&buffer[..read]);
        }
        assert!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
    }

    /// Requests per CPU second of the sidecar, if `ask` makes one.
    fn rate(&self, count: u32, mut ask: impl FnMut()) -> f64 {
        let id = self.endpoint.sidecar.child.id();
        let before = cpu_seconds(id);
        for _ in 0..count {
            ask();
        }
        f64::from(count) / (cpu_seconds(id) - before)
    }
}

#[test]
fn a_cpu_second_gives_ten_thousand_tokens_of_the_cache() {
    let env = TestEnv::new();
    let endpoint = Endpoint::start(&env);
    let target = "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";
    let request = get(endpoint.port, target, &format!("X-IDENTITY-HEADER: {HEADER}"));
    let client = Client { endpoint: &endpoint, request };
    let mut stream = endpoint.connect();
    client.ask(&mut stream);
    let kept = client.rate(REQUESTS, || client.ask(&mut stream));
    // As SDKs do: one connection for each token.
    let fresh = client.rate(CONNECTIONS, || client.ask(&mut endpoint.connect()));
    println!("tokens of the cache per CPU second: {kept:.0}, each on a new connection {fresh:.0}");
    assert_eq!(env.emulator.counts().tokens, 1);
    if std::env::var_os("KEYSLUICE_TEST_BINARY").is_some() {
        assert!(kept >= LEAST_REQUESTS && fresh >= LEAST_REQUESTS, "{kept:.0}, {fresh:.0}");
    }
}
