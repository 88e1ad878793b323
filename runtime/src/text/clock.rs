//! `strftime` for templates that write the date, in UTC and without a time zone, as Python writes it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use std::time::SystemTime;

/// Formats a time; directives that are not known stay as they are. Times that no calendar holds count as 1970.
pub(crate) fn strftime(format: &str, time: SystemTime) -> String {
    let moment =
        TimeZone::UTC.to_datetime(Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH));
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        // The flag of glibc, and so of Python, that drops the zeros or spaces in front of a number.
        let flag = letters.clone().next().filter(|c| *c == '-');
        if flag.is_some() {
            letters.next();
        }
        let written: String = ['%'].into_iter().chain(flag).chain(letters.next()).collect();
        text.push_str(&directive(&written, moment).unwrap_or(written));
    }
    text
}

/// One directive's text, if it has one.
fn directive(written: &str, moment: DateTime) -> Option<String> {
    let format = match written {
        // A time without a zone has no name and no offset.
        "%Z" | "%z" => return Some(String::new()),
        "%" | "%-%" => "%%",
        "%x" => "%m/%d/%y",
        "%X" => "%T",
        "%f" => "%6f",
        other => other,
    };
    strtime::format(format, moment).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn numbers_without_padding_are_pythons() {
        // `datetime.fromtimestamp(1707447845, timezone.utc).replace(tzinfo=None).strftime(…)` of CPython on Linux.
        let at = UNIX_EPOCH + Duration::from_secs(1_707_447_845);
        let format = "%-d.%-m.%-y %-H:%-M:%-S %-I%p %-j|%e|%F %T %R %D %x %X%Z%z %-B %-%";
        let text = "9.2.24 3:4:5 3AM 40| 9|2024-02-09 03:04:05 03:04 02/09/24 02/09/24 03:04:05 February %";
        assert_eq!(strftime(format, at), text);
    }

    #[test]
    fn known_moments() {
        // `date -u -d @1709210096` and `date -u -d @1767225599`.
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let format = "%A %d %b %Y %H:%M:%S %j %I%p %y-%m %% %Q";
        assert_eq!(
            strftime(format, at(1_709_210_096)),
            "Thursday 29 Feb 2024 12:34:56 060 12PM 24-02 % %Q"
        );
        assert_eq!(
            strftime(format, at(1_767_225_599)),
            "Wednesday 31 Dec 2025 23:59:59 365 11PM 25-12 % %Q"
        );
    }
}
