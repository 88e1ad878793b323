//! Numbers of other programs, laws, and a planted direction.

mod first;
