//! Settings given as a file or inline: the pair `--X-file` and `--X`. Thanos `pkg/extkingpin`.

/// Why a pair of flags gave nothing usable.
#[derive(Debug, thiserror::Error)]
pub enum PathOrContentError {
    /// Both flags of the pair were given.
    #[error("both --{0} and --{0}-file are given: use one of them")]
    Both(String),
    /// The file cannot be read.
    #[error("--{flag}-file={path}: {source}")]
    Read {
        /// The pair's name.
        flag: String,
        /// The path given.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// `$(NAME)` names a variable that is not set.
    #[error("--{flag}: $({name}) is used, but the environment variable {name} is not set")]
    Environment {
        /// The pair's name.
        flag: String,
        /// The variable.
        name: String,
    },
}

/// The content of the pair `flag`; `None` when neither was given. With `substitute`, `$(NAME)` becomes the value of
/// the environment variable NAME.
pub fn path_or_content(
    flag: &str,
    path: &str,
    content: &str,
    substitute: bool,
) -> Result<Option<String>, PathOrContentError> {
    let text = match (path.is_empty(), content.is_empty()) {
        (false, false) => return Err(PathOrContentError::Both(flag.to_string())),
        (true, true) => return Ok(None),
        (true, false) => content.to_string(),
        (false, true) => std::fs::read_to_string(path).map_err(|source| PathOrContentError::Read {
            flag: flag.to_string(),
            path: path.to_string(),
            source,
        })?,
    };
    if substitute { expand(flag, &text, |name| std::env::var(name).ok()).map(Some) } else { Ok(Some(text)) }
}

fn expand(
    flag: &str,
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<String, PathOrContentError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let after = &rest[start + 2..];
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        out.push_str(&rest[..start]);
        if end == 0 || !after[end..].starts_with(')') {
            out.push_str("$(");
            rest = after;
            continue;
        }
        let name = &after[..end];
        let value = lookup(name).ok_or_else(|| PathOrContentError::Environment {
            flag: flag.to_string(),
            name: name.to_string(),
        })?;
        out.push_str(&value);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_substituted_in_parentheses_only() {
        let lookup = |name: &str| (name == "DIR").then(|| "/data".to_string());
        assert_eq!(expand("x", "a $(DIR)/b ${DIR} $DIR $(", lookup).unwrap(), "a /data/b ${DIR} $DIR $(");
        let error = expand("objstore.config", "$(NOPE)", lookup).unwrap_err().to_string();
        assert_eq!(error, "--objstore.config: $(NOPE) is used, but the environment variable NOPE is not set");
    }

    #[test]
    fn both_given_is_an_error() {
        assert!(path_or_content("x", "file", "inline", false).is_err());
        assert_eq!(path_or_content("x", "", "", false).unwrap(), None);
    }
}
