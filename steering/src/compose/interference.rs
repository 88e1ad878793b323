//! What one vector does to another's behaviour.
