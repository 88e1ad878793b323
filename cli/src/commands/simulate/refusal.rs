//! What the learners refuse, said of the flags that led to it.

use crate::error::Error;
use trimtab_adapters::Error as Refusal;
use trimtab_adapters::tpop::TpopError;

/// A refusal of the learners in terms of the flags that led to it.
pub fn refused(refusal: impl Into<Refusal>) -> Error {
    match refusal.into() {
        Refusal::Tpop(TpopError::Range { key, value, low, high }) => {
            Error::usage(flag(key), format!("is {value}, not between {low} and {high}"))
        }
        Refusal::Invalid { field, problem } => Error::usage(flag(field), problem),
        other => other.into(),
    }
}

/// The flag of a key; keys that no flag sets stay as they are.
fn flag(key: &'static str) -> &'static str {
    const FLAGS: [(&str, &str); 18] = [
        ("rounds", "--rounds"),
        ("turns", "--rounds"),
        ("arms", "--candidates"),
        ("answers", "--candidates"),
        ("preferred", "--preferred"),
        ("width", "--width"),
        ("strength", "--strength"),
        ("temperature", "--choice-temperature"),
        ("flips", "--flips"),
        ("flipped", "--flips"),
        ("left_bias", "--left"),
        ("tpop.nu", "--nu"),
        ("tpop.lambda", "--lambda"),
        ("tpop.half_life", "--half-life"),
        ("optimum_beta", "--optimum-beta"),
        ("rosa.beta_neg", "--beta"),
        ("rosa.eps_neg", "--eps"),
        ("rosa.damping", "--damping"),
    ];
    FLAGS.iter().find(|(known, _)| *known == key).map_or(key, |(_, flag)| flag)
}
