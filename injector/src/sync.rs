//! Keeps Kubernetes Secrets equal to files: looks first, writes only what differs, and never what
//! belongs to something else.
//!
//! The content (data, type, labels, annotations) is applied by the field manager `keysluice`, the
//! same in all pods, so replicas agree on it. The owner is applied by a manager of its own, one for
//! each owner: when the owner is gone, the API server removes its entry and nothing stays behind.

mod content;
mod found;

pub(crate) use content::{Data, data_of};

use crate::fault::{Class, Fault};
use crate::kubernetes::{Api, Patch, Refusal, Session};
use crate::log;
use crate::redact::short;
use found::{Found, Holder};
use keysluice_plan::reason::{KS644, KS645, KS646, KS648};
use keysluice_plan::{CLASS_ANNOTATION, DRIVER_LABEL, MANAGED_LABEL, Owner, Plan, SyncedSecret};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// Field manager of the content.
const MANAGER: &str = "keysluice";
/// How often others may come first before it is a failure.
const MAX_ROUNDS: usize = 8;
/// How often a Secret is taken from a driver, or from pods of another class, that write it again.
const MAX_TAKEOVERS: u32 = 3;

/// What this process knows of one Secret.
#[derive(Debug, Default)]
struct Memory {
    /// uid of the Secret that has our owner: an entry that the API server removed is not added
    /// again, because its owner is gone.
    owned: Option<String>,
    /// The keys of the last content that was written: the API server removed those that we wrote
    /// before and that are not among them.
    written: Option<Vec<String>>,
    takeovers: u32,
}

/// What one synchronisation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synced {
    /// The Secret was as it should be.
    Unchanged,
    /// Its content was written.
    Written,
}

/// Makes Secrets as the Plan says.
#[derive(Debug)]
pub(crate) struct Syncer {
    api: Api,
    plan: Arc<Plan>,
    owners: Vec<Owner>,
    has_driver: bool,
    /// By index in the Plan. Each is made by one task at a time.
    memories: Vec<Mutex<Memory>>,
}

impl Syncer {
    /// For the pod of a Plan; `None` where it makes no Secrets.
    ///
    /// # Errors
    /// As [`Api::open`].
    pub(crate) fn new(root: &Path, plan: &Arc<Plan>) -> Result<Option<Self>, Fault> {
        let Some(kubernetes) = plan.kubernetes.as_ref().filter(|_| !plan.secrets.is_empty()) else {
            return Ok(None);
        };
        let api = Api::open(root, kubernetes)?;
        let owners = match kubernetes.owners.as_slice() {
            [] => vec![Owner {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: api.pod.name.clone(),
                uid: api.pod.uid.clone(),
            }],
            owners => owners.to_vec(),
        };
        let memories = plan.secrets.iter().map(|_| Mutex::default()).collect();
        let has_driver = kubernetes.has_driver;
        Ok(Some(Self { api, plan: Arc::clone(plan), owners, has_driver, memories }))
    }

    /// Makes the Secret with this index in the Plan equal to `data`.
    ///
    /// # Errors
    /// A fault with one of the codes KS641 to KS649.
    pub(crate) async fn sync(&self, secret: usize, data: &Data) -> Result<Synced, Fault> {
        let session = self.api.session()?;
        let mut memory = self.memories[secret].lock().await;
        let secret = &self.plan.secrets[secret];
        let target = Target { syncer: self, session: &session, secret, data };
        for _ in 0..MAX_ROUNDS {
            if let Some(synced) = target.round(&mut memory).await? {
                return Ok(synced);
            }
        }
        let text = format!("{}: others change it all the time", target.name());
        Err(Fault::new(KS646, Class::Transient, text))
    }
}

/// One Secret during one synchronisation.
struct Target<'a> {
    syncer: &'a Syncer,
    session: &'a Session<'a>,
    secret: &'a SyncedSecret,
    data: &'a Data,
}

impl Target<'_> {
    /// `None` when another writer came first.
    async fn round(&self, memory: &mut Memory) -> Result<Option<Synced>, Fault> {
        let Some(found) = self.look().await? else {
            let Some(created) = self.create().await? else { return Ok(None) };
            memory.written = Some(keys(self.data));
            self.own(&created, memory).await?;
            return Ok(Some(Synced::Written));
        };
        if found.is_going() {
            let text = format!("{}: it is being deleted", self.name());
            return Err(Fault::new(KS646, Class::Transient, text));
        }
        let holder = found.holder(&self.secret.class);
        self.check_holder(&holder)?;
        let is_adopted = matches!(holder, Holder::Nobody | Holder::OtherClass(_));
        let kept = found.kept_in(self.data);
        let data = kept.as_ref().unwrap_or(self.data);
        let differs = found.differs(self.secret, data) || is_adopted;
        let must_prune = holder == Holder::Class
            && memory.written.as_ref() != Some(&keys(data))
            && found.has_more(data);
        if holder == Holder::Driver {
            // The Secret must not go with the driver's last pod.
            self.own(&found, memory).await?;
            if !differs {
                return Ok(Some(Synced::Unchanged));
            }
        }
        self.check_takeover(&holder, memory)?;
        if differs || must_prune {
            self.check_change(&found)?;
            // What is kept must not be older than what another replica writes in this moment.
            let version = kept.as_ref().map(|_| found.version());
            let Some(written) = self.apply(data, version, true).await? else { return Ok(None) };
            if matches!(holder, Holder::Driver | Holder::OtherClass(_)) {
                memory.takeovers += 1;
            }
            if holder == Holder::Driver {
                self.unmark_driver().await?;
            }
            memory.written = Some(keys(data));
            self.own(&written, memory).await?;
            return Ok(Some(Synced::Written));
        }
        self.own(&found, memory).await?;
        Ok(Some(Synced::Unchanged))
    }

    fn check_holder(&self, holder: &Holder) -> Result<(), Fault> {
        let text = match holder {
            Holder::Class | Holder::Driver => return Ok(()),
            Holder::OtherClass(_) | Holder::Nobody if self.secret.adopt => return Ok(()),
            Holder::OtherClass(class) => format!("it belongs to the SecretProviderClass {class}"),
            Holder::Nobody => "neither Keysluice nor the CSI driver created it".to_owned(),
        };
        Err(Fault::new(KS644, Class::Slow, format_args!("{}: {text}", self.name())))
    }

    /// A driver that is there may write the Secret again, and pods of another class may adopt it
    /// again: then it is left to them.
    fn check_takeover(&self, holder: &Holder, memory: &Memory) -> Result<(), Fault> {
        if memory.takeovers < MAX_TAKEOVERS {
            return Ok(());
        }
        let (code, text) = match holder {
            Holder::Driver if self.syncer.has_driver => {
                (KS648, format!("the driver wrote it {MAX_TAKEOVERS} times"))
            }
            Holder::OtherClass(class) => {
                let whose = format!("pods of the SecretProviderClass {class}");
                (KS644, format!("{whose} took it back {MAX_TAKEOVERS} times"))
            }
            _ => return Ok(()),
        };
        Err(Fault::new(code, Class::Slow, format_args!("{}: {text}", self.name())))
    }

    /// Type and immutable content can be changed by nobody.
    fn check_change(&self, found: &Found) -> Result<(), Fault> {
        let problem = if found.secret_type != self.secret.secret_type {
            format!(
                "its type is {}, and cannot become {}",
                short(&found.secret_type),
                self.secret.secret_type
            )
        } else if found.immutable {
            "it is immutable, and its content would change".to_owned()
        } else {
            return Ok(());
        };
        let (name, namespace) = (&self.secret.name, &self.syncer.api.pod.namespace);
        let text = format!(
            "{}: {problem}; `kubectl delete secret {name} -n {namespace}` lets the sidecar create \
             it again",
            self.name()
        );
        Err(Fault::new(KS645, Class::Slow, text))
    }

    /// The Secret as it is; a merge patch without fields needs no right to read.
    async fn look(&self) -> Result<Option<Found>, Fault> {
        match self.patch(Patch::Merge, &json!({})).await {
            Ok(found) => Ok(Some(found)),
            Err(refusal) if refusal.status == 404 => Ok(None),
            Err(refusal) => Err(refusal.fault(&self.name())),
        }
    }

    /// Creates it; `None` where it exists meanwhile.
    async fn create(&self) -> Result<Option<Found>, Fault> {
        // An object with this version cannot exist.
        self.apply(self.data, Some("1"), false).await
    }

    /// `None` where it has another version meanwhile.
    async fn apply(
        &self,
        data: &Data,
        version: Option<&str>,
        force: bool,
    ) -> Result<Option<Found>, Fault> {
        let body = self.content(data, version);
        let patch = Patch::Apply { manager: MANAGER, force };
        match self.patch_bytes(patch, &body).await {
            Ok(found) => Ok(Some(found)),
            Err(refusal) if refusal.status == 409 => Ok(None),
            Err(refusal) => Err(refusal.fault(&self.name())),
        }
    }

    fn content(&self, data: &Data, version: Option<&str>) -> Zeroizing<Vec<u8>> {
        let SyncedSecret { name, secret_type, class, labels, annotations, .. } = self.secret;
        let mut metadata = json!({"name": name, "labels": labels, "annotations": annotations});
        metadata["labels"][MANAGED_LABEL] = "true".into();
        metadata["annotations"][CLASS_ANNOTATION] = class.as_str().into();
        if let Some(version) = version {
            metadata["resourceVersion"] = version.into();
        }
        let object =
            content::Object { api_version: "v1", kind: "Secret", metadata, secret_type, data };
        Zeroizing::new(serde_json::to_vec(&object).unwrap_or_default())
    }

    /// Adds our owners, each by a manager of its own, unless they are there or were there.
    async fn own(&self, found: &Found, memory: &mut Memory) -> Result<(), Fault> {
        if self.secret.keep || found.is_kept() || memory.owned.as_deref() == Some(found.uid()) {
            return Ok(());
        }
        for owner in self.syncer.owners.iter().filter(|owner| !found.is_owned_by(&owner.uid)) {
            let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {
                "name": self.secret.name, "uid": found.uid(), "ownerReferences": [owner]}});
            let manager = format!("{MANAGER}-{}", owner.uid);
            let patch = Patch::Apply { manager: &manager, force: false };
            match self.patch(patch, &body).await {
                Ok(_) => {}
                Err(refusal) if refusal.is_about_owner() => {
                    let name = self.name();
                    let message = "the API server lets only those set an owner who may delete";
                    log::note(&format!("{name}: {message}, so it stays after the workload"));
                }
                // Deleted and created again meanwhile: the next synchronisation adds them.
                Err(refusal) if refusal.status == 409 => return Ok(()),
                Err(refusal) => return Err(refusal.fault(&self.name())),
            }
        }
        memory.owned = Some(found.uid().to_owned());
        Ok(())
    }

    async fn unmark_driver(&self) -> Result<(), Fault> {
        let body = json!({"metadata": {"labels": {DRIVER_LABEL: null}}});
        self.patch(Patch::Merge, &body).await.map_err(|refusal| refusal.fault(&self.name()))?;
        Ok(())
    }

    async fn patch(&self, how: Patch<'_>, body: &Value) -> Result<Found, Refusal> {
        let body = Zeroizing::new(serde_json::to_vec(body).unwrap_or_default());
        self.patch_bytes(how, &body).await
    }

    async fn patch_bytes(
        &self,
        how: Patch<'_>,
        body: &Zeroizing<Vec<u8>>,
    ) -> Result<Found, Refusal> {
        let (namespace, name) = (&self.syncer.api.pod.namespace, &self.secret.name);
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        let answer = self.session.patch(&path, how, body).await?;
        Found::read(answer.expose_secret()).ok_or_else(Refusal::not_an_object)
    }

    fn name(&self) -> String {
        format!("Secret {:?}", self.secret.name)
    }
}

fn keys(data: &Data) -> Vec<String> {
    data.values.keys().cloned().collect()
}
