//! Times in flags: RFC 3339, or a duration relative to now, with or without a sign.

use tithon_engine::parse_rfc3339_ms;
use tithon_engine::plan::TimeBound;

use super::parse_duration;

/// Parses `2024-05-01T00:00:00Z`, `-2w` or `1h`.
pub fn parse_time(text: &str) -> Result<TimeBound, String> {
    if let Some(ms) = parse_rfc3339_ms(text) {
        return Ok(TimeBound::At(ms));
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let bad =
        || format!("not a valid time: {text:?}; expected 2024-05-01T00:00:00Z or a duration such as -2w");
    let span = parse_duration(rest).map_err(|_| bad())?;
    Ok(TimeBound::FromNow(sign * i64::try_from(span.as_millis()).map_err(|_| bad())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_and_moving() {
        assert_eq!(parse_time("1970-01-01T00:00:01Z"), Ok(TimeBound::At(1000)));
        assert_eq!(parse_time("0000-01-01T00:00:00Z"), Ok(TimeBound::At(-62_167_219_200_000)));
        assert_eq!(parse_time("-2h"), Ok(TimeBound::FromNow(-7_200_000)));
        assert_eq!(parse_time("90s"), Ok(TimeBound::FromNow(90_000)));
        assert!(parse_time("yesterday").is_err());
    }
}
