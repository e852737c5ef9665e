//! Ports for programs that are told theirs.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port on which nothing listens, outside the range from which the kernel takes ports for
/// connections (32768 and above): no connection takes it before the program listens, or between
/// two of its runs. No port is given twice in a process until all were given.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run side by side begin far from each other.
    let begin = u64::from(std::process::id()) * 997 % u64::from(COUNT);
    for _ in 0..COUNT {
        let offset = begin + u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(offset % u64::from(COUNT)).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no port between 20000 and 32000 is free"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ports_are_below_those_of_connections_and_each_is_given_once() {
        let ports: HashSet<u16> = (0..200).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|port| (FIRST..32_000).contains(port)), "{ports:?}");
    }

    #[test]
    fn a_port_that_is_taken_is_left_out() {
        let next = free_port().unwrap() + 1;
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, next));
        assert_ne!(free_port().unwrap(), next);
    }
}
