//! What `audit` is to do.

use crate::args::{AuditArgs, AuditCommand, AuditReading, Switch};
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// Something about what monitors did.
#[derive(Debug, PartialEq, Eq)]
pub struct Audit {
    /// Where state is kept; `None` where it usually is.
    pub folder: Option<PathBuf>,
    /// Whether what was taken back is shown in words.
    pub text: Switch,
    /// What is done.
    pub act: AuditAct,
}

/// What is done with interventions.
#[derive(Debug, PartialEq, Eq)]
pub enum AuditAct {
    /// The newest are listed.
    List {
        /// How many.
        most: u32,
        /// How old they may be; `None` for any age.
        age: Option<Duration>,
    },
    /// The story of one request, or of one response.
    Show(String),
}

pub(super) fn audit(args: AuditArgs) -> Result<Audit> {
    let age = args.since.as_deref().map(age).transpose()?;
    let (AuditReading { text, state_dir }, act) = match args.command {
        None => (args.reading, AuditAct::List { most: args.limit, age }),
        Some(AuditCommand::Show { request, reading }) => (reading, AuditAct::Show(request)),
    };
    Ok(Audit { folder: state_dir, text, act })
}

/// `90s`, `30m`, `24h`, `7d`.
fn age(text: &str) -> Result<Duration> {
    let problem = || format!("is {text:?}, expected an age such as 90s, 30m, 24h or 7d");
    let unknown = || Error::usage("--since", problem());
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(unknown)?;
    let number: u64 = number.parse().map_err(|_| unknown())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(unknown()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(age(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "h", "7", "-1h", "1.5h", "7 d", "7ö", "99999999999999999999d"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
