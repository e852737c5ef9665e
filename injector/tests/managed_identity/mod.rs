//! The managed-identity endpoint: the real binary, asked over the loopback.

mod figures;
mod intercept;
mod requests;

use crate::support::{CLIENT, Sidecar, TENANT, TestEnv};
use keysluice_emulator::free_port;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const HEADER: &str = "0123456789abcdef0123456789abcdef";
const OBJECT_ID: &str = "33333333-3333-3333-3333-333333333333";
const RESOURCE_ID: &str = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/\
    userAssignedIdentities/web";

fn identity(env: &TestEnv, client_id: &str) -> Value {
    json!({"credential": {"kind": "federated", "clientId": client_id, "tenantId": TENANT,
        "tokenFile": "/token", "authority": env.emulator.authority()}})
}

/// A Plan of the endpoint alone, with one identity.
fn plan(env: &TestEnv, port: u16) -> Value {
    let mut identity = identity(env, CLIENT);
    identity["default"] = true.into();
    identity["objectIds"] = json!([OBJECT_ID]);
    identity["resourceIds"] = json!([RESOURCE_ID]);
    json!({"schema": 1, "runDirectory": "/run/keysluice", "startTimeoutSeconds": 20,
        "trustedCa": env.emulator.ca_pem(), "identities": [], "volumes": [],
        "managedIdentity": {"port": port, "header": HEADER, "identities": [identity]}})
}

/// The endpoint of a running sidecar.
struct Endpoint<'e> {
    sidecar: Sidecar<'e>,
    port: u16,
}

/// Status, head and body of an answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl<'e> Endpoint<'e> {
    fn start(env: &'e TestEnv) -> Self {
        let port = free_port().unwrap();
        Self { sidecar: env.run_ready(&plan(env, port)), port }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends this, and reads to the end of the connection.
    fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        answer(&text)
    }

    fn get(&self, target: &str, header: &str) -> Answer {
        self.raw(&get(self.port, target, &format!("{header}\r\nConnection: close")))
    }

    fn app_service(&self, query: &str) -> Answer {
        let target = format!("/msi/token?api-version=2019-08-01&{query}");
        self.get(&target, &format!("X-IDENTITY-HEADER: {HEADER}"))
    }

    fn imds(&self, query: &str) -> Answer {
        let target = format!("/metadata/identity/oauth2/token?api-version=2018-02-01&{query}");
        self.get(&target, "Metadata: true")
    }
}

fn get(port: u16, target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n\r\n")
}

fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap() }
}
