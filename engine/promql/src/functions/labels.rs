//! `label_replace` and `label_join`: they change labels of whole series and look at no sample.

use regex_automata::meta::Regex;
use tithon_index::Template;

use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Frame, Row, label_bytes, merge};
use crate::label_names::is_label_name;

/// `label_replace(v, dst, replacement, src, regex)` without its vector.
pub(crate) struct LabelReplace<'a> {
    dst: &'a [u8],
    replacement: &'a [u8],
    src: &'a [u8],
    regex: Regex,
}

impl<'a> LabelReplace<'a> {
    /// Takes the texts that follow the vector.
    ///
    /// Errors: [`QueryError::Execution`] when the pattern does not compile or no label may have the name `dst`.
    pub(crate) fn new(
        [dst, replacement, src, pattern]: [&'a [u8]; 4],
    ) -> Result<LabelReplace<'a>, QueryError> {
        let regex = tithon_index::anchored_regex(pattern).map_err(|_| {
            let pattern = text(pattern);
            QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
        check_name(dst, "destination", "label_replace")?;
        Ok(LabelReplace { dst, replacement, src, regex })
    }

    /// Gives each series whose label `src` matches the expanded replacement as label `dst`.
    pub(crate) fn apply(&self, ctx: &Context<'_>, mut frame: Frame) -> Result<Frame, QueryError> {
        let template = Template::parse(&self.regex, self.replacement);
        let mut captures = self.regex.create_captures();
        let mut new = Vec::new();
        for row in &mut frame.rows {
            ctx.check_cancelled()?;
            let value = row.labels.get(self.src).unwrap_or_default();
            self.regex.captures(value, &mut captures);
            if !captures.is_match() {
                continue;
            }
            // Counted before it is expanded, since a replacement may repeat a long value many times; and twice, for the
            // text and its copy in the labels.
            ctx.held.add(0, 2 * template.len(&captures))?;
            template.expand(&captures, value, &mut new);
            set_label(ctx, row, self.dst, &new)?;
        }
        merge::equal_labels(frame)
    }
}

/// `label_join(v, dst, separator, src...)` without its vector.
pub(crate) struct LabelJoin<'a> {
    dst: &'a [u8],
    separator: &'a [u8],
    sources: Vec<&'a [u8]>,
}

impl<'a> LabelJoin<'a> {
    /// Takes the texts that follow the vector.
    ///
    /// Errors: [`QueryError::Execution`] when no label may have one of the names.
    pub(crate) fn new(
        dst: &'a [u8],
        separator: &'a [u8],
        sources: Vec<&'a [u8]>,
    ) -> Result<LabelJoin<'a>, QueryError> {
        for name in &sources {
            check_name(name, "source", "label_join")?;
        }
        check_name(dst, "destination", "label_join")?;
        Ok(LabelJoin { dst, separator, sources })
    }

    /// Gives each series its joined labels as label `dst`.
    pub(crate) fn apply(&self, ctx: &Context<'_>, mut frame: Frame) -> Result<Frame, QueryError> {
        let separators = self.sources.len().saturating_sub(1) as u64 * self.separator.len() as u64;
        for row in &mut frame.rows {
            ctx.check_cancelled()?;
            let values: Vec<&[u8]> =
                self.sources.iter().map(|name| row.labels.get(name).unwrap_or_default()).collect();
            // Counted before the values are joined; and twice, for the text and its copy in the labels.
            let length = separators + values.iter().map(|value| value.len() as u64).sum::<u64>();
            ctx.held.add(0, 2 * length)?;
            let joined = values.join(self.separator);
            set_label(ctx, row, self.dst, &joined)?;
        }
        merge::equal_labels(frame)
    }
}

/// Sets a label of a row. A name that is set stays, even where the name would be dropped.
fn set_label(ctx: &Context<'_>, row: &mut Row, name: &[u8], value: &[u8]) -> Result<(), QueryError> {
    row.labels = row.labels.to_builder().set(name, value).finish();
    ctx.held.add(0, label_bytes(&row.labels))?;
    row.drop_name &= name != b"__name__";
    Ok(())
}

fn check_name(name: &[u8], role: &str, function: &str) -> Result<(), QueryError> {
    if is_label_name(name) {
        return Ok(());
    }
    let name = text(name);
    Err(QueryError::Execution(format!("invalid {role} label name in {function}(): {name}")))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
