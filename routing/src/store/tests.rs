//! The same promises on every kind of store.
