//! Settings given as a file or inline, by the pair of flags `--X-file` and `--X`. Thanos `pkg/extkingpin`.

use tithon_runtime::{UnsetVariable, expand_variables};

/// Why a pair of flags cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathOrContentError {
    /// Both flags of the pair were given.
    #[error("both --{0} and --{0}-file are given: use one of them")]
    Both(String),
    /// The file cannot be read.
    #[error("--{flag}-file={path}: {source}")]
    Read {
        /// Name of the pair.
        flag: String,
        /// Path of the file.
        path: String,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// `$(NAME)` names a variable that is not set.
    #[error("--{flag}: {source}")]
    Environment {
        /// Name of the pair.
        flag: String,
        /// The error with the variable's name.
        source: UnsetVariable,
    },
}

/// The content given by the pair `flag`; `None` when neither flag was given. With `substitute`, `$(NAME)` is replaced
/// by the environment variable NAME.
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
    if !substitute {
        return Ok(Some(text));
    }
    let expanded = expand_variables(&text, |name| std::env::var(name).ok());
    expanded.map(Some).map_err(|source| PathOrContentError::Environment { flag: flag.to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_given_is_an_error() {
        assert!(path_or_content("x", "file", "inline", false).is_err());
        assert_eq!(path_or_content("x", "", "", false).unwrap(), None);
    }
}
