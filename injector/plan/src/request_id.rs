//! The id of a sidecar's request to a vault: the pod's uid and a counter. The sidecar writes it,
//! `keysluice audit` reads it in the vault's log.
//!
//! Two headers carry it. `User-Agent` holds the whole uid: the log has it as `clientInfo`.
//! `x-ms-client-request-id` must be a GUID, which has no room for both: it holds the first 96 bits
//! of the uid and 32 bits of the counter. The version and 90 random bits of the uid stay.

use std::fmt;
use std::str::FromStr;

/// Environment variable of the sidecar with the uid of its pod.
pub const POD_UID_ENV: &str = "POD_UID";

/// The header of the GUID.
pub const CLIENT_REQUEST_ID: &str = "x-ms-client-request-id";

const PROGRAM: &str = "keysluice-injector/";
const POD: &str = " (pod ";
const CALL: &str = "; call ";

/// Positions of the dashes in a GUID.
const DASHES: [usize; 4] = [8, 13, 18, 23];
const GUID_BYTES: usize = 36;

/// A GUID, such as the uid of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(u128);

/// The text is not a GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID")]
pub struct GuidError;

impl Guid {
    /// The first 96 bits, which a request id shares with the uid of its pod.
    pub fn prefix(self) -> u128 {
        self.0 >> u32::BITS
    }
}

impl FromStr for Guid {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, GuidError> {
        if text.len() != GUID_BYTES {
            return Err(GuidError);
        }
        let mut value = 0;
        for (index, byte) in text.bytes().enumerate() {
            match (DASHES.contains(&index), char::from(byte).to_digit(16)) {
                (false, Some(digit)) => value = value << 4 | u128::from(digit),
                (true, None) if byte == b'-' => {}
                _ => return Err(GuidError),
            }
        }
        Ok(Self(value))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let (head, node) = digits.split_at(20);
        write!(f, "{}-{}-{}-{}-{node}", &head[..8], &head[8..12], &head[12..16], &head[16..])
    }
}

/// One request of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    /// The uid of the pod.
    pub pod: Guid,
    /// Counts the requests of a process, from 1.
    pub call: u32,
}

impl RequestId {
    /// The value of [`CLIENT_REQUEST_ID`].
    pub fn guid(self) -> Guid {
        Guid(self.pod.prefix() << u32::BITS | u128::from(self.call))
    }

    /// The value of `User-Agent` of this version of the sidecar.
    pub fn user_agent(self, version: &str) -> String {
        let Self { pod, call } = self;
        format!("{PROGRAM}{version}{POD}{pod}{CALL}{call})")
    }

    /// The id in a `User-Agent`, exactly as [`Self::user_agent`] writes it.
    pub fn of_user_agent(text: &str) -> Option<Self> {
        let (_, id) = text.strip_prefix(PROGRAM)?.strip_suffix(')')?.split_once(POD)?;
        let (pod, call) = id.split_once(CALL)?;
        let is_plain = call.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { pod: pod.parse().ok()?, call: call.parse().ok().filter(|_| is_plain)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD_UID: &str = "6f1d1c2e-8a4b-4f0e-9b7a-3c2d1e0f9a8b";

    fn id(call: u32) -> RequestId {
        RequestId { pod: POD_UID.parse().unwrap(), call }
    }

    #[test]
    fn the_header_is_a_guid_of_the_uid_and_the_counter() {
        for (call, guid) in [
            (1, "6f1d1c2e-8a4b-4f0e-9b7a-3c2d00000001"),
            (u32::MAX, "6f1d1c2e-8a4b-4f0e-9b7a-3c2dffffffff"),
        ] {
            assert_eq!(id(call).guid().to_string(), guid);
            assert_eq!(id(call).guid().prefix(), id(call).pod.prefix());
        }
        assert_ne!(id(1).guid(), id(2).guid());
    }

    #[test]
    fn a_user_agent_is_read_back_and_others_have_no_id() {
        let text = id(17).user_agent("1.2.3");
        assert_eq!(text, format!("keysluice-injector/1.2.3 (pod {POD_UID}; call 17)"));
        assert_eq!(RequestId::of_user_agent(&text), Some(id(17)));
        for other in [
            "keysluice-injector/1.2.3",
            "azsdk-net-Security.KeyVault.Secrets/4.6.0 (.NET 8; Linux)",
            &text[1..],
            &text.replace("17", "+17"),
            &text.replace("17", "4294967296"),
            &text.replace("6f1d", "6f1"),
            &format!("{text} more"),
        ] {
            assert_eq!(RequestId::of_user_agent(other), None, "{other}");
        }
    }

    #[test]
    fn a_uid_is_a_guid_in_either_case() {
        assert_eq!(POD_UID.to_ascii_uppercase().parse::<Guid>().unwrap().to_string(), POD_UID);
        let zero = "00000000-0000-0000-0000-000000000000";
        assert_eq!(zero.parse::<Guid>().unwrap().to_string(), zero);
        for bad in [
            "",
            "aaaa",
            "6f1d1c2e8a4b4f0e9b7a3c2d1e0f9a8b",
            "{6f1d1c2e-8a4b-4f0e-9b7a-3c2d1e0f9a}",
            "6f1d1c2e-8a4b-4f0e-9b7a-3c2d1e0f9a8g",
            "6f1d1c2e08a4b-4f0e-9b7a-3c2d1e0f9a8b",
            "6f1d1c2e-8a4b-4f0e-9b7a-3c2d1e0f9aé",
        ] {
            assert_eq!(bad.parse::<Guid>(), Err(GuidError), "{bad}");
        }
    }
}
