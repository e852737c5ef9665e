//! Whatever happens to objects and connections, in any order: in the end the cache is what the
//! server has.

use crate::suite::cluster::watches::{Cached, Watched};
use crate::suite::support::api_server::{ApiServer, CLASSES, DRIVERS, Fault, SERVICE_ACCOUNTS};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Option<u8>),
    Delete(u8),
    PutClass(u8),
    /// A class with any fields beside its name, and any annotations.
    HostileClass(u8, Vec<(&'static str, Value)>, Value),
    DeleteClass(u8),
    Driver(bool),
    Fail(&'static str, Fault),
    Disconnect,
    Compact,
    StreamsLists(bool),
    Restart,
    /// Lets the cache catch up with a part of it.
    Breathe,
}

/// Any small JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z\"\n\u{0}ä😀]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn hostile() -> impl Strategy<Value = Step> {
    let field = prop::sample::select(vec![
        "code", "message", "status", "kind", "spec", "type", "object", "items",
    ]);
    let fields = prop::collection::vec((field, any_json()), 0..5);
    (0u8..3, fields, any_json())
        .prop_map(|(name, fields, annotations)| Step::HostileClass(name, fields, annotations))
}

fn step() -> impl Strategy<Value = Step> {
    let resource = prop_oneof![Just(SERVICE_ACCOUNTS), Just(CLASSES), Just(DRIVERS)];
    let fault = prop_oneof![
        prop_oneof![Just(400), Just(401), Just(403), Just(410), Just(422), Just(500), Just(503)]
            .prop_map(Fault::Status),
        (0usize..900).prop_map(Fault::CutAfter),
        Just(Fault::GoneEvent),
        (1usize..200).prop_map(Fault::Pieces),
    ];
    prop_oneof![
        8 => (0u8..6, prop::option::of(0u8..3)).prop_map(|(name, client)| Step::Put(name, client)),
        4 => (0u8..6).prop_map(Step::Delete),
        2 => (0u8..3).prop_map(Step::PutClass),
        2 => hostile(),
        2 => (0u8..3).prop_map(Step::DeleteClass),
        1 => any::<bool>().prop_map(Step::Driver),
        4 => (resource, fault).prop_map(|(resource, fault)| Step::Fail(resource, fault)),
        2 => Just(Step::Disconnect),
        2 => Just(Step::Compact),
        1 => any::<bool>().prop_map(Step::StreamsLists),
        1 => Just(Step::Restart),
        6 => Just(Step::Breathe),
    ]
}

async fn perform(watched: &mut Watched, step: &Step) {
    if let Step::Restart = step {
        return watched.server.restart().await;
    }
    if let Step::Breathe = step {
        // Not for synchronisation: how far the cache gets meanwhile is as random as the rest.
        return tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let mut world = watched.server.world();
    match step {
        Step::Put(name, client) => {
            world.put_account(
                "n",
                &format!("a{name}"),
                client.map(|client| format!("id-{client}")).as_deref(),
            );
        }
        Step::Delete(name) => world.delete(SERVICE_ACCOUNTS, "n", &format!("a{name}")),
        Step::PutClass(name) => world.put_class("n", &format!("c{name}"), "vault"),
        Step::HostileClass(name, fields, annotations) => {
            let mut object = json!({"metadata": {"namespace": "n", "name": format!("c{name}"),
                "annotations": annotations}});
            for (field, value) in fields {
                object[*field] = value.clone();
            }
            world.put(CLASSES, object);
        }
        Step::DeleteClass(name) => world.delete(CLASSES, "n", &format!("c{name}")),
        Step::Driver(true) => world.put_driver(),
        Step::Driver(false) => world.delete(DRIVERS, "", "secrets-store.csi.k8s.io"),
        Step::Fail(resource, fault) => world.fail(resource, [*fault]),
        Step::Disconnect => world.disconnect(),
        Step::Compact => world.compact(),
        Step::StreamsLists(streams) => world.streams_lists = *streams,
        Step::Restart | Step::Breathe => unreachable!("done above"),
    }
}

/// What the server has, as the cache would say it.
fn expected(server: &ApiServer) -> (Vec<Cached>, [usize; 3]) {
    let world = server.world();
    let account = |name: u8| {
        let Some(object) = world.find(SERVICE_ACCOUNTS, "n", &format!("a{name}")) else {
            return Cached::Unknown;
        };
        let id = &object["metadata"]["annotations"]["azure.workload.identity/client-id"].as_str();
        id.map_or(Cached::WithoutClient, |id| Cached::Client(id.to_owned()))
    };
    let counts = [SERVICE_ACCOUNTS, CLASSES, DRIVERS].map(|resource| world.all(resource).count());
    ((0..6).map(account).collect(), counts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None,
        ..ProptestConfig::default() })]
    #[test]
    fn after_any_events_and_faults_the_cache_is_what_the_server_has(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut watched = Watched::open(ApiServer::start());
            for step in &steps {
                perform(&mut watched, step).await;
            }
            let (accounts, counts) = expected(&watched.server);
            watched.until("the counts are right", |caches| {
                caches.iter().zip(counts).all(|(cache,
                    count)| cache.synced && cache.objects == count)
            }).await;
            for (name, account) in (0_u8..).zip(accounts) {
                watched.until_cached(&format!("a{name}"), account).await;
            }
        });
    }
}
