//! The routes, called as a client would, on the tiny model and mostly without a socket.

mod access;
mod answers;
mod dialects;
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
