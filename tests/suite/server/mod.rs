//! The webhook as a server: requests, deadlines, HTTP/2, bounds under attack.

mod canary;
mod client_ca;
mod deadlines;
mod files;
mod hold;
mod hold_caches;
mod http2;
mod listener;
mod log_schema;
mod requests;
mod rolling;
mod serve;
mod workloads;
