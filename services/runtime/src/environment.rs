//! Expands `$(NAME)` in configurations to environment variables. Thanos `pkg/extkingpin`, `pkg/reloader`.

/// A text uses an environment variable that is not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("$({name}) is used, but the environment variable {name} is not set")]
pub struct UnsetVariable {
    /// Name of the variable.
    pub name: String,
}

/// Replaces each `$(NAME)`, where the name has letters, digits and underscores, by the variable's value as `lookup`
/// returns it. Any other dollar sign stays as it is.
///
/// Fails when a variable is not set.
pub fn expand_variables(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<String, UnsetVariable> {
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
        out.push_str(&lookup(name).ok_or_else(|| UnsetVariable { name: name.to_owned() })?);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_in_parentheses() {
        let lookup = |name: &str| (name == "DIR").then(|| "/data".to_owned());
        assert_eq!(
            expand_variables("a $(DIR)/b ${DIR} $DIR $(", lookup).unwrap(),
            "a /data/b ${DIR} $DIR $("
        );
        let error = expand_variables("$(NOPE)", lookup).unwrap_err().to_string();
        assert_eq!(error, "$(NOPE) is used, but the environment variable NOPE is not set");
    }
}
