//! Flags of `audit`.

use crate::flags::Parsed;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Flags of `audit`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true, args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    /// What to do instead of listing.
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// Only what is not older, such as 90s, 30m, 24h or 7d.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub since: Option<Duration>,
    /// How many.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    /// How and from where.
    #[command(flatten)]
    pub reading: AuditReading,
}

/// The subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Tell what happened to one answer, step by step.
    Show {
        /// The id of its request, or of its response.
        #[arg(value_name = "REQUEST")]
        request: String,
        /// How and from where.
        #[command(flatten)]
        reading: AuditReading,
    },
}

/// What listing and showing share.
#[derive(Debug, Args)]
pub struct AuditReading {
    /// Show what was taken back in words, where serve --audit-text kept it.
    #[arg(long)]
    pub text: bool,
    /// The folder of the server's state [default: $XDG_STATE_HOME/trimtab].
    #[arg(long, alias = "state", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// `90s`, `30m`, `24h`, `7d`.
fn age(text: &str) -> Parsed<Duration> {
    let unknown = || format!("is {text:?}, expected an age such as 90s, 30m, 24h or 7d");
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
