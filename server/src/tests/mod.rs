//! The routes, called as a client would, on the tiny model and mostly without a socket.

mod abuse;
mod access;
mod adapters;
mod answers;
mod dialects;
mod duels;
mod kit;
mod lists;
mod monitors;
mod others;
mod pressure;
mod refusals;
mod socket;
mod steering;
mod streams;
mod templates;
