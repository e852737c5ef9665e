//! Reason codes: what a user meets in a message, an event or a termination message, with cause and fix.

use std::fmt;

/// One code with its explanation. Codes are stable: a published one never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// `KS401`.
    pub code: &'static str,
    /// What happened, one line.
    pub cause: &'static str,
    /// What to do about it.
    pub fix: &'static str,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

/// Declares constants named as their code and the table of all of them.
#[macro_export]
macro_rules! reasons {
    ($table:ident: $($code:ident $cause:literal $fix:literal;)*) => {
        $(
            #[doc = $cause]
            pub const $code: $crate::reason::Reason =
                $crate::reason::Reason { code: stringify!($code), cause: $cause, fix: $fix };
        )*
        /// The table, in order of code.
        pub const $table: &[$crate::reason::Reason] = &[$($code),*];
    };
}

// KS3xx identity · KS4xx vault · KS5xx volume · KS6xx plan and command line of the sidecar.
reasons! { INJECTOR:
    KS601 "the Plan cannot be read or understood" "use webhook and sidecar images of one release; for a Plan of your own compare it with `keysluice plan`";
}
