//! The address of Azure's instance metadata service inside the pod: an init container adds it to
//! the loopback interface, and the sidecar listens on it.
//!
//! The init container is root with `NET_ADMIN` and runs nothing but [`add_address`]: one message of
//! rtnetlink(7) in the pod's own network namespace.

use crate::fault::{Class, Fault};
use crate::log;
use keysluice_plan::reason::{KS693, KS694};
use keysluice_plan::{IMDS_ADDRESS, IMDS_PORT};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use std::io::{Error, ErrorKind};

/// `NLMSG_ERROR`: an answer with the number of an error, or 0.
const ANSWER: u16 = 2;
const ADD_ADDRESS: u16 = 20;
/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_EXCL` and `NLM_F_CREATE`: an address that is there already
/// is an error, and stays as it is.
const FLAGS: u16 = 0x1 | 0x4 | 0x200 | 0x400;
const HEADER_BYTES: usize = 16;
/// Bytes of the message: a header of 16, 8 about the address, two attributes of 8.
const LENGTH: u32 = 40;
/// `AF_INET`
const IPV4: u8 = 2;
/// The number of `lo` in every network namespace.
const LOOPBACK_INDEX: u32 = 1;
const PREFIX_LENGTH: u8 = 32;
/// `RT_SCOPE_HOST`: never the source address of what leaves the pod.
const SCOPE_HOST: u8 = 254;
const INTERFACE_ADDRESS: u16 = 1;
const LOCAL_ADDRESS: u16 = 2;

/// Adds 169.254.169.254/32 to the loopback interface, and says so: outside a pod it changes the
/// machine. An address that is there already stays.
///
/// # Errors
/// The kernel refuses, as it does without the capability `NET_ADMIN`.
pub(crate) fn add_address() -> Result<(), Fault> {
    match request() {
        Ok(()) => {
            log::info(&format!(
                "{IMDS_ADDRESS}/{PREFIX_LENGTH} added to the interface lo of this network \
                 namespace; to remove it: ip address delete {IMDS_ADDRESS}/{PREFIX_LENGTH} dev lo"
            ));
            Ok(())
        }
        Err(Errno::EXIST) => {
            log::info(&format!("the interface lo has {IMDS_ADDRESS} already: nothing changed"));
            Ok(())
        }
        Err(error) => {
            let why = match error {
                Errno::PERM | Errno::ACCESS => " (the process lacks the capability NET_ADMIN)",
                _ => "",
            };
            let message = format_args!("adding {IMDS_ADDRESS} to the interface lo: {error}{why}");
            Err(Fault::new(KS694, Class::Permanent, message))
        }
    }
}

fn request() -> Result<(), Errno> {
    // Protocol 0 of netlink is `NETLINK_ROUTE`.
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    // A socket without an address of its own talks to the kernel, which answers before it returns.
    send(&socket, &message(), SendFlags::empty())?;
    let mut answer = [0; 256];
    let (_, length) = recv(&socket, &mut answer, RecvFlags::empty())?;
    read(answer.get(..length).unwrap_or_default())
}

/// `nlmsghdr`, `ifaddrmsg`, and the address twice: the interface's own, and that of the other end.
fn message() -> Vec<u8> {
    let sequence_and_port = [0; 8];
    [
        &LENGTH.to_ne_bytes()[..],
        &ADD_ADDRESS.to_ne_bytes(),
        &FLAGS.to_ne_bytes(),
        &sequence_and_port,
        &[IPV4, PREFIX_LENGTH, 0, SCOPE_HOST],
        &LOOPBACK_INDEX.to_ne_bytes(),
        &attribute(LOCAL_ADDRESS),
        &attribute(INTERFACE_ADDRESS),
    ]
    .concat()
}

/// `rtattr`: length, kind, the address.
fn attribute(kind: u16) -> Vec<u8> {
    [&8_u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &IMDS_ADDRESS.octets()].concat()
}

/// The kernel's answer: a header, and the number of an error as a negative one.
fn read(answer: &[u8]) -> Result<(), Errno> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(HEADER_BYTES..HEADER_BYTES + 4);
    let code = code.and_then(|bytes| bytes.try_into().ok());
    match (kind, code.map(i32::from_ne_bytes)) {
        (Some(ANSWER), Some(0)) => Ok(()),
        (Some(ANSWER), Some(code)) => Err(Errno::from_raw_os_error(code.saturating_neg())),
        _ => Err(Errno::BADMSG),
    }
}

/// Why the sidecar cannot listen on the address.
pub(super) fn cannot_listen(error: &Error) -> Fault {
    let (class, why) = match error.kind() {
        ErrorKind::AddrNotAvailable => (
            Class::Permanent,
            "no interface of the pod has the address, which the init container \
             keysluice-intercept adds",
        ),
        ErrorKind::PermissionDenied => {
            (Class::Permanent, "the pod's sysctl net.ipv4.ip_unprivileged_port_start is above 80")
        }
        ErrorKind::AddrInUse => {
            (Class::Transient, "another process of the pod listens on port 80 of all addresses")
        }
        _ => (Class::Permanent, "the system refuses it"),
    };
    let message =
        format_args!("managed-identity endpoint {IMDS_ADDRESS}:{IMDS_PORT}: {why}: {error}");
    Fault::new(KS693, class, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_adds_the_address_to_the_loopback_for_this_host() {
        let message = message();
        assert_eq!(message.len(), 40);
        assert_eq!(message[..4], 40_u32.to_ne_bytes());
        assert_eq!(message[4..8], [20_u16.to_ne_bytes(), 0x605_u16.to_ne_bytes()].concat());
        assert_eq!(message[16..20], [2, 32, 0, 254]);
        assert_eq!(message[20..24], 1_u32.to_ne_bytes());
        for (at, kind) in [(24, 2_u16), (32, 1)] {
            let attribute = [8_u16.to_ne_bytes(), kind.to_ne_bytes(), [169, 254], [169, 254]];
            assert_eq!(message[at..at + 8], attribute.concat());
        }
    }

    fn answer(kind: u16, code: i32) -> Vec<u8> {
        let mut bytes = vec![0; 36];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[16..20].copy_from_slice(&code.to_ne_bytes());
        bytes
    }

    #[test]
    fn an_answer_is_success_or_the_number_of_an_error() {
        assert_eq!(read(&answer(ANSWER, 0)), Ok(()));
        assert_eq!(read(&answer(ANSWER, -1)), Err(Errno::PERM));
        assert_eq!(read(&answer(ANSWER, -17)), Err(Errno::EXIST));
        assert_eq!(read(&answer(3, 0)), Err(Errno::BADMSG), "another message");
        assert_eq!(read(&answer(ANSWER, 0)[..18]), Err(Errno::BADMSG), "cut");
        assert_eq!(read(&[]), Err(Errno::BADMSG));
    }

    #[test]
    fn what_keeps_the_sidecar_from_listening_is_said() {
        for (kind, class, text) in [
            (ErrorKind::AddrNotAvailable, Class::Permanent, "keysluice-intercept"),
            (ErrorKind::PermissionDenied, Class::Permanent, "ip_unprivileged_port_start"),
            (ErrorKind::AddrInUse, Class::Transient, "port 80"),
            (ErrorKind::Other, Class::Permanent, "refuses"),
        ] {
            let fault = cannot_listen(&kind.into());
            assert_eq!((fault.reason, fault.class), (KS693, class));
            assert!(fault.message.contains(text), "{fault}");
        }
    }
}
