//! The managed-identity endpoint: access tokens of the pod's identities for applications whose SDK
//! knows nothing of federation. It speaks the protocol of App Service and that of IMDS, on the
//! loopback of the pod, and on the address of IMDS where an init container has added that.
//!
//! ```text
//! connection (bytes) -> request (pure: head -> what is asked, or why not)
//!                    -> slots (pure: which token, and when another one is requested)
//!                    -> answer (pure: token or fault -> the bodies that Azure has)
//! ```

#![allow(clippy::disallowed_methods, reason = "this room tells applications when tokens expire")]

mod answer;
mod connection;
mod intercept;
mod request;
mod served;
mod slots;

pub(crate) use intercept::add_address;

pub(crate) use connection::{finish, request_line};

use crate::fault::{Class, Fault};
use crate::http::Http;
use crate::log;
use crate::throttle::Throttle;
use keysluice_plan::reason::KS691;
use keysluice_plan::{IMDS_ADDRESS, IMDS_PORT, Plan};
use served::Served;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// At most this many connections at once; others wait to be accepted. Each holds a descriptor and a
/// head of a request.
const MAX_CONNECTIONS: usize = 128;
/// Between two tries to accept, where the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The sockets, and what is served on them.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listeners: Vec<TcpListener>,
    served: Arc<Served>,
}

impl Endpoint {
    /// Listens where the Plan says; `None` where it has no endpoint. The kernel queues connections
    /// from now on.
    ///
    /// # Errors
    /// A port is taken, or cannot be bound; the pod does not have the address of IMDS.
    pub(crate) fn open(
        plan: &Plan,
        root: &Path,
        http: Arc<Http>,
        throttle: Arc<Throttle>,
    ) -> Result<Option<Self>, Fault> {
        let Some(endpoint) = &plan.managed_identity else { return Ok(None) };
        let port = endpoint.port;
        let own = (Ipv4Addr::LOCALHOST, port).into();
        let mut listeners = vec![listen(own).map_err(|error| cannot_listen(own, &error))?];
        // A name such as localhost may lead here first; a pod without IPv6 has no such address.
        listeners.extend(listen((Ipv6Addr::LOCALHOST, port).into()).ok());
        let mut also = String::new();
        if endpoint.intercept {
            let imds = (IMDS_ADDRESS, IMDS_PORT).into();
            listeners.push(listen(imds).map_err(|error| intercept::cannot_listen(&error))?);
            also = format!(" and http://{IMDS_ADDRESS}");
        }
        let served = Arc::new(Served::new(endpoint, root, http, throttle));
        log::info(&format!("managed-identity endpoint: http://127.0.0.1:{port}{also}"));
        Ok(Some(Self { listeners, served }))
    }

    /// Serves connections for ever.
    pub(crate) fn start(self) {
        let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        for listener in self.listeners {
            tokio::spawn(accept(listener, Arc::clone(&self.served), Arc::clone(&free)));
        }
    }
}

/// Listens on an address; the kernel queues connections from now on.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // Sets SO_REUSEADDR: a sidecar that starts again finds its port free.
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Fault {
    let class = match error.kind() {
        ErrorKind::AddrInUse => Class::Transient,
        _ => Class::Permanent,
    };
    Fault::new(KS691, class, format_args!("managed-identity endpoint {address}: {error}"))
}

async fn accept(listener: TcpListener, served: Arc<Served>, free: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (served, free) = (Arc::clone(&served), Arc::clone(&free));
                tokio::spawn(async move {
                    // Where others wait, a connection ends with its answer.
                    connection::serve(stream, &served, || free.available_permits() == 0).await;
                    drop(place);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
