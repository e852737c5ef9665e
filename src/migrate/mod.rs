//! Manifests of other injectors as those of Keysluice. Pure.

mod edit;
