//! Limits of the cluster and of the sidecar that several checks share.

/// Bytes of a DNS label: containers, volumes.
pub(super) const MAX_LABEL_BYTES: usize = 63;
/// Bytes of a DNS subdomain: pods, ServiceAccounts, classes.
pub(super) const MAX_SUBDOMAIN_BYTES: usize = 253;
/// Bytes of a client or tenant id: a GUID has 36 characters, a domain at most 253.
pub(super) const MAX_ID_BYTES: usize = 256;
/// What the API server takes of all annotations together, but only after the webhooks.
pub(super) const MAX_ANNOTATIONS_BYTES: usize = 256 << 10;
/// Bytes of the Plan: a string of the environment cannot exceed 128 KiB (Linux `MAX_ARG_STRLEN`).
pub(super) const MAX_PLAN_BYTES: usize = 96 << 10;
/// Size of the volume with the program: two copies of at most 4 MiB while one replaces the other.
pub(super) const PROGRAM_VOLUME_BYTES: u64 = 9 << 20;
/// Size of the sidecar's private volume.
pub(super) const RUN_VOLUME_BYTES: u64 = 1 << 20;
