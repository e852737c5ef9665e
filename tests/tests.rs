//! The one integration binary: real binaries over loopback with real TLS, and properties of bytes
//! in -> bytes out.

#![allow(clippy::disallowed_methods, reason = "tests measure time")]

// For clippy: helpers here are tests too, and may unwrap.
#[cfg(test)]
mod suite;
