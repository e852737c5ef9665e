//! A name server for pods: Azure's names are the emulator, which listens at the node's address.
//! Services have the addresses that the file of the hosts says.
//!
//! One question, one answer, no recursion: what a resolver's library sends is all that is
//! understood.

use crate::layout::NODE_ADDRESS;
use anyhow::Context as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use tokio::net::UdpSocket;

/// Where the hosts are below the cluster's root.
pub const HOSTS: &str = "hosts";
const HEADER: usize = 12;
const TYPE_A: u16 = 1;

/// Answers at the node's address, port 53, for ever. `hosts` has lines of an address and a name,
/// and is read for each question.
pub async fn serve(hosts: PathBuf) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((NODE_ADDRESS, 53)).await.context("listening for names")?;
    let mut packet = [0; 512];
    loop {
        let (length, asker) = socket.recv_from(&mut packet).await?;
        if let Some(reply) = answer(&packet[..length], &hosts) {
            // Who asked may be gone.
            let _ = socket.send_to(&reply, asker).await;
        }
    }
}

/// The answer to a query; `None` where it is not one.
fn answer(query: &[u8], hosts: &Path) -> Option<Vec<u8>> {
    let is_query = query.get(2)? & 0xf8 == 0;
    if !is_query || query.get(4..6)? != [0, 1] {
        return None;
    }
    let (name, end) = name(query)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    let question = query.get(HEADER..end + 4)?;
    let address = if is_azure(&name) { NODE_ADDRESS.parse().ok() } else { of_hosts(hosts, &name) };
    let known = address.is_some();
    let answers = u8::from(known && kind == TYPE_A);
    let mut reply = query[..2].to_vec();
    // An authoritative response, recursion available; 3 is "no such name".
    reply.extend([
        0x84 | (query[2] & 1),
        if known { 0x80 } else { 0x83 },
        0,
        1,
        0,
        answers,
        0,
        0,
        0,
        0,
    ]);
    reply.extend(question);
    if answers == 1 {
        // The name of the question, A, IN, 5 s, four bytes.
        reply.extend([0xc0, u8::try_from(HEADER).ok()?, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        reply.extend(address?.octets());
    }
    Some(reply)
}

/// The name asked for, and where it ends.
fn name(query: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), HEADER);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > 63 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&std::str::from_utf8(query.get(at..at + length)?).ok()?.to_ascii_lowercase());
        at += length;
    }
}

fn of_hosts(hosts: &Path, name: &str) -> Option<Ipv4Addr> {
    let text = std::fs::read_to_string(hosts).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(_, known)| *known == name)?.0.parse().ok()
}

fn is_azure(name: &str) -> bool {
    let vault = name.strip_suffix(".vault.azure.net").is_some_and(|vault| !vault.contains('.'));
    vault || name == "login.microsoftonline.com"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u8) -> Vec<u8> {
        let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, kind, 0, 1]);
        query
    }

    #[test]
    fn azure_is_the_node_and_nothing_else_is_known() {
        for (name, kind, code, answers) in [
            ("login.microsoftonline.com", 1, 0, 1),
            ("Shop.Vault.azure.net", 1, 0, 1),
            ("shop.vault.azure.net", 28, 0, 0),
            ("shop.vault.azure.net.default.svc.cluster.local", 1, 3, 0),
            ("a.b.vault.azure.net", 1, 3, 0),
            ("vault.azure.net", 1, 3, 0),
        ] {
            let reply = answer(&query(name, kind), Path::new("/none")).unwrap();
            assert_eq!((reply[3] & 0xf, reply[7]), (code, answers), "{name}");
            assert_eq!(answers == 1, reply.ends_with(&[10, 88, 0, 1]), "{name}");
        }
    }

    #[test]
    fn what_is_no_query_has_no_answer() {
        let good = query("a", 1);
        for end in 0..good.len() - 1 {
            assert_eq!(answer(&good[..end], Path::new("/none")), None, "{end}");
        }
        let mut response = good;
        response[2] |= 0x80;
        assert_eq!(answer(&response, Path::new("/none")), None);
    }
}
