//! Checks of the repository itself: generated pages, layers, scripts, words.

mod docs;
mod layers;
mod metrics;
mod scripts;
mod words;
