//! The one integration binary: real binaries over loopback with real TLS, and properties of bytes in -> bytes out.

mod suite;
