//! The one integration binary: real binaries over loopback with real TLS, and properties of bytes
//! in -> bytes out.

// For clippy: helpers here are tests too, and may unwrap.
#[cfg(test)]
mod suite;
