//! Quantities as people write them, in the configuration and on the command line: `5ms`, `64KiB`, `3%`,
//! `100mbit`.

use crate::base::time::Duration;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A length of time: `0`, or a number with `us`, `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Period(pub Duration);

/// Nanoseconds of each unit, the largest first.
const TIME_UNITS: [(&str, u64); 5] =
    [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];

impl Period {
    /// A whole number of seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Period(Duration::from_secs(secs))
    }

    /// The duration, or `None` where zero means "off".
    pub fn if_any(self) -> Option<Duration> {
        (self.0 > Duration::ZERO).then_some(self.0)
    }
}

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let complaint = || format!("`{text}` is not a length of time; write it as 500ms, 10s, 5m or 2h");
        let (number, unit) = split_number(text);
        let number: f64 = number.parse().map_err(|_| complaint())?;
        let nanos = match unit {
            "" if number == 0.0 => 0,
            unit => TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(complaint)?.1,
        };
        Duration::try_from_secs_f64(number * nanos as f64 / 1e9)
            .map(|duration| Period(Duration::from_micros(duration.as_micros() as u64)))
            .map_err(|_| complaint())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos() as u64;
        match TIME_UNITS.iter().find(|(_, unit)| nanos >= *unit && nanos.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", nanos / unit),
            None => f.write_str("0s"),
        }
    }
}

/// A number of bytes: plain, or with `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct ByteCount(pub u64);

const BYTE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

impl FromStr for ByteCount {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let complaint = || format!("`{text}` is not a number of bytes; write it as 65536, 64KiB or 1MiB");
        let (number, unit) = split_number(text);
        let number: u64 = number.parse().map_err(|_| complaint())?;
        let unit = BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(complaint)?.1;
        number.checked_mul(unit).map(ByteCount).ok_or_else(complaint)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BYTE_UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => f.write_str("0"),
        }
    }
}

/// A probability, written in percent: `3%`, `0.1%`, `0`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let complaint = || format!("`{text}` is not a share; write it in percent, as 3% or 0.1%");
        let number = match text.strip_suffix('%') {
            Some(number) => number.trim().parse().map_err(|_| complaint())?,
            None if text == "0" => 0.0,
            None => return Err(complaint()),
        };
        if (0.0..=100.0).contains(&number) { Ok(Percent(number / 100.0)) } else { Err(complaint()) }
    }
}

/// Bits a second: `64kbit`, `100mbit`, `1gbit`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate(pub u64);

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let complaint = || format!("`{text}` is not a rate; write it in bits a second, as 64kbit, 100mbit or 1gbit");
        let (number, unit) = split_number(text);
        let number: f64 = number.parse().map_err(|_| complaint())?;
        let unit = match unit {
            "bit" => 1e0,
            "kbit" => 1e3,
            "mbit" => 1e6,
            "gbit" => 1e9,
            _ => return Err(complaint()),
        };
        let rate = (number * unit) as u64;
        if rate > 0 { Ok(Rate(rate)) } else { Err(complaint()) }
    }
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a quantity from a string, or from a whole number without a unit.
struct Quantity<T> {
    expected: &'static str,
    of_number: fn(i64) -> Option<T>,
}

impl<T: FromStr<Err = String>> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.of_number)(number).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a length of time such as \"500ms\", \"10s\" or \"5m\"";
        let of_number = |number| (number == 0).then_some(Period(Duration::ZERO));
        deserializer.deserialize_any(Quantity { expected, of_number })
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a number of bytes such as 65536, \"64KiB\" or \"1MiB\"";
        let of_number = |number| u64::try_from(number).ok().map(ByteCount);
        deserializer.deserialize_any(Quantity { expected, of_number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_read_back_as_they_are_written() {
        for text in ["1h", "90s", "500ms", "2m", "1500us", "10s"] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.to_string().parse::<Period>(), Ok(period), "{text}");
        }
        assert_eq!("1.5s".parse(), Ok(Period(Duration::from_millis(1500))));
        assert_eq!("0".parse(), Ok(Period(Duration::ZERO)));
        assert_eq!(Period::from_secs(90).to_string(), "90s");
        assert_eq!(Period::from_secs(7200).to_string(), "2h");
        for wrong in ["", "5", "ms", "-1s", "5 parsecs", "1e99h", "99999999999999999999999h"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn byte_counts_read_back_as_they_are_written() {
        for (text, bytes) in [("65536", 65_536), ("64KiB", 65_536), ("1MiB", 1 << 20), ("0", 0), ("3 GiB", 3 << 30)] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)));
            assert_eq!(ByteCount(bytes).to_string().parse(), Ok(ByteCount(bytes)));
        }
        for wrong in ["", "1.5MiB", "-1", "1 XB", "99999999999GiB"] {
            assert!(wrong.parse::<ByteCount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_and_rates_need_their_unit() {
        assert_eq!("3%".parse(), Ok(Percent(0.03)));
        assert_eq!("0".parse(), Ok(Percent(0.0)));
        assert_eq!("100mbit".parse(), Ok(Rate(100_000_000)));
        for wrong in ["3", "101%", "-1%", "NaN%"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
        for wrong in ["100", "0mbit", "fast"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
