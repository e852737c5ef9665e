//! What a decision depends on beside the pod, and what must be looked up for it.

use super::service_account::ServiceAccount;
use crate::provider_class::{ClassError, ProviderClass};
use crate::settings::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the cluster says about one pod.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The pod's ServiceAccount; `None` if it does not exist (or was not looked up).
    pub service_account: Option<ServiceAccount>,
    /// The classes its volumes name.
    pub classes: BTreeMap<String, ClassFact>,
    /// Whether the Secrets Store CSI driver is installed.
    pub csi_driver_installed: bool,
}

/// Everything a decision depends on beside the pod.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The operator's settings.
    pub settings: &'a Settings,
    /// Namespace of the request; the pod's own field may be absent.
    pub namespace: &'a str,
    /// The review's uid, which another one does not have.
    pub uid: &'a str,
    /// What the cluster says.
    pub facts: &'a Facts,
}

/// What the cluster must be asked before [`mutate`](super::mutate) can decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs<'a> {
    /// The ServiceAccount, if any of it matters.
    pub service_account: Option<&'a str>,
    /// Classes by name.
    pub classes: Vec<&'a str>,
    /// Whether the CSI driver's presence matters.
    pub csi_driver: bool,
    /// What matters only where the driver is not installed: its pods do not wait for it.
    pub without_driver: WithoutDriver<'a>,
}

/// What must be asked where the CSI driver is not installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WithoutDriver<'a> {
    /// As in [`Needs`].
    pub service_account: Option<&'a str>,
    /// As in [`Needs`].
    pub classes: Vec<&'a str>,
}

impl Needs<'_> {
    /// The number of classes that may be read.
    pub fn class_count(&self) -> usize {
        self.classes.len() + self.without_driver.classes.len()
    }

    /// The same once it is known whether the driver is installed.
    #[must_use]
    pub fn with_driver(mut self, is_installed: bool) -> Self {
        let WithoutDriver { service_account, classes } = std::mem::take(&mut self.without_driver);
        if !is_installed {
            self.service_account = self.service_account.or(service_account);
            self.classes.extend(classes);
        }
        self
    }
}

/// What the cluster says about a class.
#[derive(Debug, Clone)]
pub enum ClassFact {
    /// There is none of this name in the pod's namespace.
    Missing,
    /// It is there and well-formed.
    Found(Arc<ProviderClass>),
    /// It is there, and not a class.
    Invalid(Arc<ClassError>),
}

impl ClassFact {
    /// Whether an object of the name is there.
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Missing)
    }
}
