//! YAML as the peers read it: kubectl a manifest, the Azure provider an `objects` document.
//!
//! The parser gives events. What a scalar means, which key of several counts, where a comment may
//! begin is decided here, because YAML 1.2 and kubectl differ there.

mod builder;
mod comments;
mod events;
mod fault;
mod positions;
mod scalar;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use builder::Written;
pub(crate) use events::events;
pub(crate) use fault::Fault;
pub(crate) use positions::{Entry, Kind, Node, positions};
pub(crate) use value::{Parsed, parse};
pub(crate) use write::write;
