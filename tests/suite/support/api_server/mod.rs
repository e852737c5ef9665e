//! A stand-in for the API server, as faulty as a real one under load: streams lists, sends
//! bookmarks, cuts connections in the middle of an event, forgets its history, refuses, hangs, and
//! cuts its answers into any pieces.

mod answer;
mod exec;
mod world;
mod write;

pub(crate) use exec::Exec;
pub(crate) use world::{
    CLASSES, CONFIGURATIONS, Change, DRIVERS, Fault, GetFault, SECRETS, SERVICE_ACCOUNTS,
    WORKLOADS, World,
};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The server; what it holds outlives a stop.
pub(crate) struct ApiServer {
    /// Kept while the server is down: another test would take the port.
    listener: Arc<TcpListener>,
    world: Arc<Mutex<World>>,
    /// The accept loop, and with it every connection.
    running: JoinHandle<()>,
}

impl ApiServer {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = Arc::new(TcpListener::from_std(listener).unwrap());
        let world = Arc::default();
        let running = tokio::spawn(accept(Arc::clone(&listener), Arc::clone(&world)));
        Self { listener, world, running }
    }

    /// Ends every connection and comes back.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.replace(accept(Arc::clone(&self.listener), Arc::clone(&self.world))).await;
    }

    /// Ends every connection, and from now on each new one at once.
    pub(crate) async fn stop(&mut self) {
        let listener = Arc::clone(&self.listener);
        self.replace(async move {
            loop {
                drop(listener.accept().await);
            }
        })
        .await;
        self.world().disconnect();
    }

    async fn replace(&mut self, next: impl Future<Output = ()> + Send + 'static) {
        self.running.abort();
        let _ = (&mut self.running).await;
        self.running = tokio::spawn(next);
    }

    /// What the server holds and how it behaves.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Writes a kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let path = directory.join("kubeconfig");
        let text = format!(
            "current-context: test\nclusters: [{{name: test, cluster: {{server: \
             \"http://{}\"}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\nusers: [{{name: \
             test, user: {{token: t}}}}]\n",
            self.address()
        );
        // By a rename: a replica that was started a moment ago may be reading it.
        let new = directory.join("kubeconfig.new");
        std::io::Write::write_all(&mut std::fs::File::create(&new).unwrap(), text.as_bytes())
            .unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }
}

async fn accept(listener: Arc<TcpListener>, world: Arc<Mutex<World>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, number) = {
            let mut world = world.lock().unwrap();
            world.connections += 1;
            (world.tls.clone(), world.connections)
        };
        let world = Arc::clone(&world);
        connections.spawn(async move {
            match tls {
                None => serve(stream, number, world).await,
                Some(tls) => {
                    if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                        serve(stream, number, world).await;
                    }
                }
            }
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    number: usize,
    world: Arc<Mutex<World>>,
) {
    let service = service_fn(move |request| {
        let (dead, world) = (number <= world.lock().unwrap().dead_connections, Arc::clone(&world));
        async move {
            if dead { std::future::pending().await } else { answer::answer(request, world).await }
        }
    });
    // A cut connection is what it was told to be.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}
