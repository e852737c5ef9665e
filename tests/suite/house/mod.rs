//! Checks of the repository itself: generated pages, layers, scripts, words.

mod codes;
mod docs;
mod layers;
mod scripts;
mod words;
