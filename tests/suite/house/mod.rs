//! Checks of the repository itself: the book, generated pages, layers, scripts, words.

mod book;
mod codes;
mod docs;
mod layers;
mod metrics;
mod scripts;
mod words;
