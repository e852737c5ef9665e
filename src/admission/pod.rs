//! A borrowed view of the raw pod: only what a decision needs is read, everything else is skipped and survives untouched.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A string that borrows from the request where JSON has no escape in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<'a>(Cow<'a, str>);

/// A JSON object of strings (labels, annotations, attributes), in document order; null reads as the empty string, as in Go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringMap<'a>(Vec<(Text<'a>, Text<'a>)>);

/// A pod, as far as we look.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Pod<'a> {
    /// `Pod`; a request whose object has no kind is refused as the API machinery does.
    #[serde(borrow)]
    pub kind: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    /// Name, labels, annotations.
    pub metadata: Metadata<'a>,
    /// Containers and volumes.
    #[serde(borrow, deserialize_with = "or_default")]
    pub spec: Spec<'a>,
}

/// `metadata`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Absent for pods made by a controller (then `generateName` is there).
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Prefix of the name to come.
    #[serde(borrow)]
    pub generate_name: Option<Text<'a>>,
    /// Labels.
    #[serde(borrow, deserialize_with = "or_default")]
    pub labels: StringMap<'a>,
    /// Annotations.
    #[serde(borrow, deserialize_with = "or_default")]
    pub annotations: StringMap<'a>,
}

/// `spec`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec<'a> {
    /// Empty means `default`.
    #[serde(borrow)]
    pub service_account_name: Option<Text<'a>>,
    /// The older name of the same field; the API server copies one to the other.
    #[serde(borrow)]
    pub service_account: Option<Text<'a>>,
    /// Operating system.
    #[serde(borrow, deserialize_with = "or_default")]
    pub os: Os<'a>,
    /// Labels a node must have.
    #[serde(borrow, deserialize_with = "or_default")]
    pub node_selector: StringMap<'a>,
    /// Requests and limits of the pod as a whole.
    #[serde(borrow, deserialize_with = "or_default")]
    pub resources: Resources<'a>,
    /// Init containers, native sidecars among them.
    #[serde(borrow)]
    pub init_containers: Option<Vec<Container<'a>>>,
    /// Containers.
    #[serde(borrow)]
    pub containers: Option<Vec<Container<'a>>>,
    /// Ephemeral containers, of a pod that runs.
    #[serde(borrow)]
    pub ephemeral_containers: Option<Vec<Container<'a>>>,
    /// Volumes.
    #[serde(borrow)]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// Users and groups for all containers.
    #[serde(deserialize_with = "or_default")]
    pub security_context: SecurityContext,
}

/// `spec.os`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Os<'a> {
    /// `linux` or `windows`.
    #[serde(borrow, deserialize_with = "or_default")]
    pub name: Text<'a>,
}

/// A container or init container.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container<'a> {
    /// Name.
    #[serde(borrow, deserialize_with = "or_default")]
    pub name: Text<'a>,
    /// `Always` makes an init container a native sidecar.
    #[serde(borrow)]
    pub restart_policy: Option<Text<'a>>,
    /// Environment; `None` where the field is absent or null.
    #[serde(borrow)]
    pub env: Option<Vec<EnvVar<'a>>>,
    /// Sources of further variables, whose names nobody sees at admission.
    #[serde(borrow)]
    pub env_from: Option<Vec<EnvFrom<'a>>>,
    /// Mounts; `None` where the field is absent or null.
    #[serde(borrow)]
    pub volume_mounts: Option<Vec<VolumeMount<'a>>>,
    /// User and group of this container.
    #[serde(deserialize_with = "or_default")]
    pub security_context: SecurityContext,
    /// Requests and limits.
    #[serde(borrow, deserialize_with = "or_default")]
    pub resources: Resources<'a>,
}

/// One entry of `env`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvVar<'a> {
    /// Name.
    #[serde(borrow, deserialize_with = "or_default")]
    pub name: Text<'a>,
    /// Literal value, possibly with `$(NAME)` references.
    #[serde(borrow)]
    pub value: Option<Text<'a>>,
    /// Where the value comes from otherwise.
    #[serde(borrow, deserialize_with = "or_default")]
    pub value_from: ValueFrom<'a>,
}

/// `valueFrom` of an entry of `env`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ValueFrom<'a> {
    /// A key of a Secret.
    #[serde(borrow, deserialize_with = "or_default")]
    pub secret_key_ref: SecretName<'a>,
}

/// One entry of `envFrom`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvFrom<'a> {
    /// All keys of a Secret.
    #[serde(borrow, deserialize_with = "or_default")]
    pub secret_ref: SecretName<'a>,
}

/// A reference to a Secret; the name is empty where there is none.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct SecretName<'a> {
    /// Its name.
    #[serde(borrow, deserialize_with = "or_default")]
    pub name: Text<'a>,
}

/// One entry of `volumeMounts`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeMount<'a> {
    /// Name of the volume.
    #[serde(borrow, deserialize_with = "or_default")]
    pub name: Text<'a>,
    /// Where.
    #[serde(borrow, deserialize_with = "or_default")]
    pub mount_path: Text<'a>,
    /// Whether the container may not write.
    pub read_only: Option<bool>,
    /// A path within the volume.
    #[serde(borrow)]
    pub sub_path: Option<Text<'a>>,
    /// The same with references to the environment.
    #[serde(borrow)]
    pub sub_path_expr: Option<Text<'a>>,
}

/// One volume; the sources we care about.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Volume<'a> {
    /// Name.
    #[serde(borrow, deserialize_with = "or_default")]
    pub name: Text<'a>,
    /// An inline CSI volume.
    #[serde(borrow)]
    pub csi: Option<Csi<'a>>,
    /// A Secret.
    #[serde(borrow, deserialize_with = "or_default")]
    pub secret: SecretVolumeSource<'a>,
    /// A projected volume.
    #[serde(borrow)]
    pub projected: Option<Projected<'a>>,
}

/// An inline CSI volume.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Csi<'a> {
    /// `secrets-store.csi.k8s.io` for those that concern us.
    #[serde(borrow, deserialize_with = "or_default")]
    pub driver: Text<'a>,
    /// Must be true for the Secrets Store CSI driver.
    pub read_only: Option<bool>,
    /// `secretProviderClass` and overrides of its parameters.
    #[serde(borrow, deserialize_with = "or_default")]
    pub volume_attributes: StringMap<'a>,
    /// A Secret with service-principal credentials.
    pub node_publish_secret_ref: Option<serde::de::IgnoredAny>,
}

/// A volume with a Secret's keys.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecretVolumeSource<'a> {
    /// Name of the Secret; empty where there is none.
    #[serde(borrow, deserialize_with = "or_default")]
    pub secret_name: Text<'a>,
}

/// A projected volume.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Projected<'a> {
    /// Its sources.
    #[serde(borrow)]
    pub sources: Option<Vec<ProjectedSource<'a>>>,
}

/// One source of a projected volume.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProjectedSource<'a> {
    /// A ServiceAccount token.
    #[serde(borrow)]
    pub service_account_token: Option<ServiceAccountToken<'a>>,
    /// A ConfigMap.
    #[serde(borrow)]
    pub config_map: Option<ConfigMapSource<'a>>,
    /// A ClusterTrustBundle.
    #[serde(borrow)]
    pub cluster_trust_bundle: Option<ClusterTrustBundleSource<'a>>,
}

/// A projected ConfigMap.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct ConfigMapSource<'a> {
    /// Its name.
    #[serde(borrow, deserialize_with = "or_default")]
    pub name: Text<'a>,
}

/// A projected ClusterTrustBundle.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterTrustBundleSource<'a> {
    /// Its signer.
    #[serde(borrow, deserialize_with = "or_default")]
    pub signer_name: Text<'a>,
}

/// A projected ServiceAccount token.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceAccountToken<'a> {
    /// Audience.
    #[serde(borrow)]
    pub audience: Option<Text<'a>>,
    /// Lifetime in seconds.
    pub expiration_seconds: Option<i64>,
    /// File below the volume.
    #[serde(borrow, deserialize_with = "or_default")]
    pub path: Text<'a>,
}

/// The users and groups of a pod's or container's `securityContext`.
#[derive(Debug, Default, Clone, Copy, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityContext {
    /// uid.
    pub run_as_user: Option<i64>,
    /// gid.
    pub run_as_group: Option<i64>,
    /// Group of the pod's volumes (pod level only).
    pub fs_group: Option<i64>,
}

/// Requests and limits.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Resources<'a> {
    /// Limits.
    #[serde(borrow, deserialize_with = "or_default")]
    pub limits: Amounts<'a>,
    /// Requests.
    #[serde(borrow, deserialize_with = "or_default")]
    pub requests: Amounts<'a>,
}

/// Quantities of the two resources that decide the quality of service; a quantity may be a JSON string or number.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Amounts<'a> {
    /// CPU.
    #[serde(borrow)]
    pub cpu: Option<Quantity<'a>>,
    /// Memory.
    #[serde(borrow)]
    pub memory: Option<Quantity<'a>>,
}

/// A quantity in its source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity<'a>(pub Text<'a>);

impl<'a> Pod<'a> {
    /// Name as Azure Workload Identity hashes it: the name, else the generated prefix marked as one.
    pub fn display_name(&self) -> Cow<'_, str> {
        match (self.metadata.name.as_deref(), self.metadata.generate_name.as_deref()) {
            (Some(name), _) if !name.is_empty() => Cow::Borrowed(name),
            (_, prefix) => Cow::Owned(format!("{} (prefix)", prefix.unwrap_or_default())),
        }
    }

    /// The ServiceAccount the pod runs as.
    pub fn service_account(&self) -> &str {
        let names = [&self.spec.service_account_name, &self.spec.service_account];
        names.into_iter().flatten().map(|name| &**name).find(|name| !name.is_empty()).unwrap_or("default")
    }

    /// Init containers, none where the field is absent.
    pub fn init_containers(&self) -> &[Container<'a>] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    /// Containers, none where the field is absent.
    pub fn containers(&self) -> &[Container<'a>] {
        self.spec.containers.as_deref().unwrap_or_default()
    }

    /// Ephemeral containers, none where the field is absent.
    pub fn ephemeral_containers(&self) -> &[Container<'a>] {
        self.spec.ephemeral_containers.as_deref().unwrap_or_default()
    }

    /// Whether the pod says that it runs on Windows.
    pub fn is_windows(&self) -> bool {
        &*self.spec.os.name == "windows" || self.spec.node_selector.find("kubernetes.io/os") == Some("windows")
    }

    /// Volumes, none where the field is absent.
    pub fn volumes(&self) -> &[Volume<'a>] {
        self.spec.volumes.as_deref().unwrap_or_default()
    }

    /// Both kinds of containers with the JSON pointer of each, init containers first.
    pub fn all_containers(&self) -> impl Iterator<Item = (String, &Container<'a>)> {
        let init = self.init_containers().iter().enumerate().map(|(i, c)| (format!("/spec/initContainers/{i}"), c));
        let main = self.containers().iter().enumerate().map(|(i, c)| (format!("/spec/containers/{i}"), c));
        init.chain(main)
    }
}

impl Resources<'_> {
    /// Whether any of the two resources is requested or limited.
    pub fn is_set(&self) -> bool {
        [&self.limits, &self.requests].iter().any(|amounts| amounts.cpu.is_some() || amounts.memory.is_some())
    }
}

impl Container<'_> {
    /// Whether an init container is a native sidecar.
    pub fn is_native_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// Whether variables come from elsewhere.
    pub fn has_env_from(&self) -> bool {
        self.env_from.as_ref().is_some_and(|sources| !sources.is_empty())
    }

    /// Mounts, none where the field is absent.
    pub fn mounts(&self) -> &[VolumeMount<'_>] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }
}

impl StringMap<'_> {
    /// The value of `key`; the last one where a key is repeated, as in Go.
    pub fn find(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| &**name == key).map(|(_, value)| &**value)
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Quantity<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct QuantityVisitor;
        impl<'de> Visitor<'de> for QuantityVisitor {
            type Value = Quantity<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Quantity(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Quantity(Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Quantity(Text(Cow::Owned(number.to_string()))))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Quantity(Text(Cow::Owned(number.to_string()))))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Quantity(Text(Cow::Owned(number.to_string()))))
            }
        }
        deserializer.deserialize_any(QuantityVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for StringMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;
        impl<'de> Visitor<'de> for MapVisitor {
            type Value = StringMap<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or_default());
                while let Some((key, value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                    pairs.push((key, value.unwrap_or_default()));
                }
                Ok(StringMap(pairs))
            }
        }
        deserializer.deserialize_map(MapVisitor)
    }
}

/// Reads null as the default: Go leaves the zero value there.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_borrow_unless_they_are_escaped_and_nulls_read_as_absent() {
        let json = r#"{"kind":"Pod","metadata":{"name":"a\u0062","generateName":"p-","labels":null,"annotations":{"k":null,"x":"1","x":"2"}},
            "spec":{"containers":[{"name":"c","env":null,"resources":{"limits":{"cpu":1,"memory":"1Gi"}},"future":{"deep":[1,{}]}}],"volumes":null}}"#;
        let pod: Pod<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(pod.display_name(), "ab");
        assert!(matches!(pod.kind.as_ref().unwrap().0, Cow::Borrowed(_)));
        assert_eq!(pod.metadata.annotations.find("k"), Some(""));
        assert_eq!(pod.metadata.annotations.find("x"), Some("2"));
        assert!(pod.containers()[0].env.is_none() && pod.volumes().is_empty() && pod.init_containers().is_empty());
        assert_eq!(&*pod.containers()[0].resources.limits.cpu.as_ref().unwrap().0, "1");
        assert_eq!(pod.service_account(), "default");
    }

    #[test]
    fn a_generated_name_is_marked_as_a_prefix() {
        let pod: Pod<'_> = serde_json::from_str(r#"{"metadata":{"generateName":"nginx-7c5ddbdf54-"}}"#).unwrap();
        assert_eq!(pod.display_name(), "nginx-7c5ddbdf54- (prefix)");
    }
}
