//! A name server that answers from a table and keeps what it was asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

const A: u16 = 1;
const AAAA: u16 = 28;

/// Names with their addresses; `*.DOMAIN` stands for all names below it.
pub(super) type Zone = BTreeMap<String, Vec<IpAddr>>;

pub(super) struct NameServer(Arc<Mutex<Vec<String>>>);

impl NameServer {
    /// Answers on port 53 of this address until the process ends.
    pub(super) fn start(address: &str, zone: Zone) -> Self {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let server = Self(Arc::clone(&asked));
        thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                let (name, kind, end) = question(&packet[..length]);
                asked.lock().unwrap().push(name.clone());
                let _ = socket.send_to(&answer(&packet[..end], kind, find(&zone, &name)), client);
            }
        });
        server
    }

    /// The names that were asked for, each request one.
    pub(super) fn asked(&self) -> Vec<String> {
        let mut asked = self.0.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

fn find<'z>(zone: &'z Zone, name: &str) -> Option<&'z Vec<IpAddr>> {
    let wildcard = |(known, _): &(&String, &Vec<IpAddr>)| {
        known.strip_prefix('*').is_some_and(|domain| name.ends_with(domain))
    };
    zone.get(name).or_else(|| zone.iter().find(wildcard).map(|(_, addresses)| addresses))
}

/// Name and type of the question, and where it ends (RFC 1035, 4.1.2).
fn question(packet: &[u8]) -> (String, u16, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([packet[at + 1], packet[at + 2]]), at + 5)
}

/// The addresses of one type; without any the name is there all the same, or is not (`None`).
fn answer(query: &[u8], kind: u16, found: Option<&Vec<IpAddr>>) -> Vec<u8> {
    let fits = |address: &&IpAddr| kind == if address.is_ipv4() { A } else { AAAA };
    let records: Vec<&IpAddr> = found.into_iter().flatten().filter(fits).collect();
    let mut packet = query.to_vec();
    // A response with recursion; NXDOMAIN is 3. One question, so many answers, nothing else.
    packet[2..4].copy_from_slice(&[0x81, if found.is_some() { 0x80 } else { 0x83 }]);
    packet[6..12].copy_from_slice(&[0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
    for address in records {
        let data = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        // The name of the question, its type, class IN, 60 s.
        packet.extend([0xc0, 12]);
        packet.extend(kind.to_be_bytes());
        packet.extend([0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        packet.extend(data);
    }
    packet
}
