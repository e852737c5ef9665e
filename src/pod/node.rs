//! What a pod requires of its node.

use crate::json::{Present, Text, view};

view! {
    /// `spec.os`.
    pub struct Os<'a> {
        /// `linux` or `windows`.
        "name" name: Text<'a>,
    }

    /// `spec.affinity`.
    pub struct Affinity<'a> {
        /// About nodes.
        "nodeAffinity" node: NodeAffinity<'a>,
    }

    /// `spec.affinity.nodeAffinity`.
    pub struct NodeAffinity<'a> {
        /// What a node must have.
        "requiredDuringSchedulingIgnoredDuringExecution" required: NodeSelector<'a>,
    }

    /// Terms of which a node must meet one.
    pub struct NodeSelector<'a> {
        /// The terms.
        "nodeSelectorTerms" terms: Option<Vec<NodeSelectorTerm<'a>>>,
    }

    /// Requirements that a node must meet together; a term without any meets no node.
    pub struct NodeSelectorTerm<'a> {
        /// About labels.
        "matchExpressions" expressions: Option<Vec<NodeRequirement<'a>>>,
        /// About fields: the node's name.
        "matchFields" fields: Option<Present>,
    }

    /// One requirement.
    pub struct NodeRequirement<'a> {
        /// Label.
        "key" key: Text<'a>,
        /// `In`, `NotIn`, `Exists`, …
        "operator" operator: Text<'a>,
        /// Values.
        "values" values: Option<Vec<Text<'a>>>,
    }

    /// A taint that does not keep the pod from a node.
    pub struct Toleration<'a> {
        /// Key of the taint; empty means every taint.
        "key" key: Text<'a>,
        /// `Equal` if empty, or `Exists`.
        "operator" operator: Text<'a>,
        /// Value of the taint.
        "value" value: Text<'a>,
    }
}
