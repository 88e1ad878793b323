//! The examples are the programs beside this folder; this library is empty.
