//! `strftime` for templates that write the date: the directives that need no time zone, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// A moment, taken apart.
struct Moment {
    year: u64,
    month: u64,
    day: u64,
    day_of_year: u64,
    weekday: &'static str,
    second_of_day: u64,
}

impl Moment {
    /// Times before 1970 count as 1970.
    fn of(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs());
        let days = seconds / 86_400;
        let weekday = usize::try_from(days % 7).ok().and_then(|i| DAYS.get(i)).unwrap_or(&"");
        let (mut year, mut rest) = (1970, days);
        while rest >= 365 + leap(year) {
            rest -= 365 + leap(year);
            year += 1;
        }
        let day_of_year = rest + 1;
        let mut month = 1;
        while rest >= length(month, year) {
            rest -= length(month, year);
            month += 1;
        }
        let second_of_day = seconds % 86_400;
        Self { year, month, day: rest + 1, day_of_year, weekday, second_of_day }
    }

    fn directive(&self, letter: char) -> Option<String> {
        let (hour, minute) = (self.second_of_day / 3600, self.second_of_day / 60 % 60);
        let month = usize::try_from(self.month - 1).ok().and_then(|i| MONTHS.get(i)).unwrap_or(&"");
        let half = (hour + 11) % 12 + 1;
        Some(match letter {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year % 100),
            'm' => format!("{:02}", self.month),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'F' => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
            'D' | 'x' => format!("{:02}/{:02}/{:02}", self.month, self.day, self.year % 100),
            'R' => format!("{hour:02}:{minute:02}"),
            'T' | 'X' => format!("{hour:02}:{minute:02}:{:02}", self.second_of_day % 60),
            'j' => format!("{:03}", self.day_of_year),
            'H' => format!("{hour:02}"),
            'I' => format!("{half:02}"),
            'M' => format!("{minute:02}"),
            'S' => format!("{:02}", self.second_of_day % 60),
            'p' => (if hour < 12 { "AM" } else { "PM" }).to_owned(),
            'B' => (*month).to_owned(),
            'b' | 'h' => month.chars().take(3).collect(),
            'A' => self.weekday.to_owned(),
            'a' => self.weekday.chars().take(3).collect(),
            // A time without a zone has no name and no offset.
            'Z' | 'z' => String::new(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }

    /// With the flag of glibc, and so of Python, that drops the zeros or spaces in front of a number.
    fn unpadded(&self, letter: char) -> Option<String> {
        let text = self.directive(letter)?;
        let bare = text.trim_start_matches(['0', ' ']);
        match "ymdejHIMS".contains(letter) {
            true if bare.is_empty() => Some("0".to_owned()),
            true => Some(bare.to_owned()),
            false => Some(text),
        }
    }
}

fn leap(year: u64) -> u64 {
    u64::from(year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)))
}

fn length(month: u64, year: u64) -> u64 {
    match month {
        2 => 28 + leap(year),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Formats a time; directives that are not known stay as they are.
pub(crate) fn strftime(format: &str, time: SystemTime) -> String {
    let moment = Moment::of(time);
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let flag = letters.clone().next().filter(|c| *c == '-');
        if flag.is_some() {
            letters.next();
        }
        let letter = letters.next().unwrap_or('%');
        let part = match flag {
            Some(_) => moment.unpadded(letter),
            None => moment.directive(letter),
        };
        match part {
            Some(part) => text.push_str(&part),
            None => text.extend(['%'].into_iter().chain(flag).chain([letter])),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
