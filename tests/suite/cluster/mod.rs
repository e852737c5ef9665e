//! The API client: watches, live reads, TLS, against a stand-in of the API server.

mod kubeconfig;
mod lists;
mod live;
mod misses;
mod properties;
mod serve;
mod tls;
mod watches;
mod writes;
