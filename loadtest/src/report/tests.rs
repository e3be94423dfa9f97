//! What is promised of page, plots, document, summary and comparison.

mod comparison;
mod document;
mod figures;
mod fixture;
mod page;
mod plots;
mod random;
mod summary;
mod timeline;
