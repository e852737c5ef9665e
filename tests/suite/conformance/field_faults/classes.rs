//! What `plan` says of a class, and objects of another namespace.

use super::{BASE, Files, POD, explain};
use crate::suite::support::keysluice;

#[test]
fn kind_o_plan_names_a_missing_a_misspelt_and_a_foreign_provider() {
    for (provider, expected) in [
        ("", "KS109 provider not set in shop/shop"),
        (
            "  provider: Azure\n",
            "KS109 provider \"Azure\" of shop/shop is not azure; hint: provider is \"Azure\"; did \
             you mean azure?",
        ),
        ("  provider: aws\n", "KS109 provider \"aws\" of shop/shop is not azure"),
    ] {
        let class = BASE.replace("  provider: azure\n", provider);
        let files = Files::of(&[
            ("class.yaml", &class),
            ("more.yaml", &BASE.replace("name: shop,", "name: more,")),
        ]);
        let (code, _, error) = keysluice(&["plan", "-f", &files.path("class.yaml")]);
        assert!(code == 3 && error.contains(expected), "{code} {error}");
        // Beside a class that is ours another provider's is left out, and a slip of the pen is not.
        let (code, out, error) =
            keysluice(&["plan", "-f", &files.path("class.yaml"), &files.path("more.yaml")]);
        assert!(error.contains(expected), "{error}");
        assert_eq!(code == 0 && out.contains("\"more\""), provider.contains("aws"), "{out}");
    }
    let files = Files::of(&[("pod.yaml", POD)]);
    assert_eq!(keysluice(&["plan", "-f", &files.path("pod.yaml")]).0, 2);
}

#[test]
fn kind_secret_objects_are_told_by_plan() {
    for (objects, expected) in [
        ("[{secretName: s, type: Opaque, data: [{objectName: db-password, key: k}]}]", ""),
        (
            "[{secretName: s, type: Opaque, data: [{objectName: other, key: k}]}]",
            "KS132 secretObjects[0]",
        ),
        ("[{secretName: s, data: [{objectName: db-password, key: k}]}]", "KS131 secretObjects[0]"),
        (
            "[{secretName: s, type: kubernetes.io/tls, data: [{objectName: db-password, key: k}]}]",
            "KS133 secretObjects[0]",
        ),
    ] {
        let files = Files::of(&[("class.yaml", &format!("{BASE}  secretObjects: {objects}\n"))]);
        let (code, _, error) = keysluice(&["plan", "-f", &files.path("class.yaml")]);
        let says = "secretObjects have no effect in a pipeline";
        assert!(code == 0 && error.contains(says) && error.contains(expected), "{error}");
    }
}

#[test]
fn kind_other_namespace_is_named_and_can_be_given() {
    let volume = "  volumes: [{name: s, csi: {driver: secrets-store.csi.k8s.io, readOnly: true, \
        volumeAttributes: {secretProviderClass: shop}}}]\n";
    let bare = POD.replace("namespace: shop, ", "");
    for (pod, code, expected) in [
        (
            bare.clone(),
            "KS202",
            "hint: there is one in namespace shop; the pod names no namespace: explain \
             --namespace shop",
        ),
        (
            bare.replace("use: \"true\"", "use: \"false\"") + volume,
            "KS207",
            "hint: there is one in namespace shop; the pod names no namespace",
        ),
        (
            POD.replace("namespace: shop", "namespace: cart"),
            "KS202",
            "hint: there is one in namespace shop; the pod is in another one, cart",
        ),
        (
            POD.replace("web,", "web-x,")
                .replace("serviceAccountName: web", "serviceAccountName: other"),
            "KS202",
            "hint: create the ServiceAccount",
        ),
    ] {
        let (exit, out, _) = explain(&pod, &["--csi-volumes", "replace"]);
        assert!(exit == 1 && out.contains(code) && out.contains(expected), "{out}");
        assert_eq!(out.matches("; hint: ").count(), 1, "{out}");
    }
    let (exit, out, error) =
        explain(&(bare + volume), &["--csi-volumes", "replace", "--namespace", "shop"]);
    assert!(exit == 0 && out.starts_with("Pod shop/web: mutated"), "{out}{error}");
}
