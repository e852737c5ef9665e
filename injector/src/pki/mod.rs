//! Certificates and private keys in the forms that tools write: PEM, PKCS#12, PKCS#8 and older
//! ones. What is read may be hostile; [`budget`] bounds what it may cost.

pub(crate) mod budget;
pub(crate) mod der;
pub(crate) mod der_reader;
#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod pem;
pub(crate) mod pem_contents;
pub(crate) mod pem_lenient;
pub(crate) mod pkcs12;
pub(crate) mod private_key;
pub(crate) mod x509;
