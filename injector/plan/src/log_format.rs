//! How the sidecar writes its log.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One line per event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// A JSON object, for programs.
    #[default]
    Json,
    /// Text, for people.
    Text,
}

impl LogFormat {
    /// Whether it is the one that a Plan need not say.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_json(&self) -> bool {
        *self == Self::Json
    }
}

/// Neither `json` nor `text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFormatError;

impl fmt::Display for LogFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write json or text")
    }
}

impl std::error::Error for LogFormatError {}

impl FromStr for LogFormat {
    type Err = LogFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(LogFormatError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_json_or_text() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert_eq!("text".parse(), Ok(LogFormat::Text));
        for wrong in ["", "Json", "TEXT", "text ", "yaml"] {
            assert_eq!(wrong.parse::<LogFormat>(), Err(LogFormatError), "{wrong:?}");
        }
    }
}
