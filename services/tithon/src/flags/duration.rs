//! Durations in flags: Prometheus's format (`2h`, `1d12h`, `500ms`) and Go's fractions (`1.5h`, `0`).

/// A duration given in a flag.
pub type Duration = std::time::Duration;

/// Parses a duration: numbers with units `ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w` or `y`, added up; `0` needs no unit.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad =
        || format!("not a valid duration: {text:?}; expected a number and a unit, such as 30s, 5m, 2h or 1d");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..end].parse().map_err(|_| bad())?;
        rest = &rest[end..];
        let unit_end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            "y" => 31_536_000.0,
            _ => return Err(bad()),
        };
        rest = &rest[unit_end..];
        seconds += number * unit;
    }
    if text.is_empty() {
        return Err(bad());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        for (text, ms) in [
            ("2m", 120_000),
            ("0", 0),
            ("0ms", 0),
            ("1d12h", 129_600_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("1s500µs", 1_000),
            ("2000us", 2),
        ] {
            assert_eq!(parse_duration(text).unwrap().as_millis(), ms, "{text}");
        }
        for text in ["", "5", "m", "1x", "1..2s", "-5m", "5 m"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
