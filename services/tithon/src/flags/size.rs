//! Sizes in flags, as Thanos counts them: in base 2, whatever the unit's name.

/// Parses `64GB`, `512MiB`, `100B` or a bare number of bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("not a valid size: {text:?}; expected a number and a unit, such as 512MB or 64GB");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().map_err(|_| bad())?;
    let shift = match text[end..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "KB" | "KIB" => 10,
        "MB" | "MIB" => 20,
        "GB" | "GIB" => 30,
        "TB" | "TIB" => 40,
        "PB" | "PIB" => 50,
        _ => return Err(bad()),
    };
    number.checked_mul(1 << shift).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn base_two() {
        assert_eq!(parse_size("64GB"), Ok(68_719_476_736));
        assert_eq!(parse_size("3KiB"), Ok(3072));
        assert_eq!(parse_size("7"), Ok(7));
        for text in ["", "GB", "1.5GB", "1XB", "99999999999PB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
