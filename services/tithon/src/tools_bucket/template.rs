//! The templates of `ls --output`: text with fields of meta.json in between, as in Go's text/template. Other actions than a field
//! are refused.

use tithon_engine::BlockMeta;

/// A template, read.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Field(Print),
}

/// What is printed of a block.
type Print = fn(&BlockMeta) -> String;

/// Names of fields as Go has them, and how they are printed.
const FIELDS: &[(&str, Print)] = &[
    (".ULID", |meta| meta.ulid.to_string()),
    (".MinTime", |meta| meta.min_time.to_string()),
    (".MaxTime", |meta| meta.max_time.to_string()),
    (".Version", |meta| meta.version.to_string()),
    (".Stats.NumSamples", |meta| meta.stats.num_samples.to_string()),
    (".Stats.NumFloatSamples", |meta| meta.stats.num_float_samples.to_string()),
    (".Stats.NumHistogramSamples", |meta| meta.stats.num_histogram_samples.to_string()),
    (".Stats.NumSeries", |meta| meta.stats.num_series.to_string()),
    (".Stats.NumChunks", |meta| meta.stats.num_chunks.to_string()),
    (".Stats.NumTombstones", |meta| meta.stats.num_tombstones.to_string()),
    (".Compaction.Level", |meta| meta.compaction.level.to_string()),
    (".Compaction.Sources", |meta| list(&meta.compaction.sources)),
    (".Compaction.Failed", |meta| meta.compaction.failed.to_string()),
    (".Compaction.Deletable", |meta| meta.compaction.deletable.to_string()),
    (".Compaction.Hints", |meta| list(&meta.compaction.hints)),
    (".Thanos.Version", |meta| meta.thanos.as_ref().map_or(0, |t| t.version).to_string()),
    (".Thanos.Labels", |meta| {
        let labels = meta.thanos.iter().flat_map(|thanos| &thanos.labels);
        let pairs: Vec<String> = labels.map(|(name, value)| format!("{name}:{value}")).collect();
        format!("map[{}]", pairs.join(" "))
    }),
    (".Thanos.Downsample.Resolution", |meta| meta.resolution_ms().to_string()),
    (".Thanos.Source", |meta| meta.thanos.as_ref().map_or("", |t| t.source.as_str()).to_owned()),
    (".Thanos.SegmentFiles", |meta| list(meta.thanos.iter().flat_map(|thanos| &thanos.segment_files))),
    (".Thanos.IndexStats.SeriesMaxSize", |meta| {
        meta.thanos.as_ref().map_or(0, |t| t.index_stats.series_max_size).to_string()
    }),
    (".Thanos.IndexStats.ChunkMaxSize", |meta| {
        meta.thanos.as_ref().map_or(0, |t| t.index_stats.chunk_max_size).to_string()
    }),
];

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(" "))
}

impl Template {
    /// Reads a template; the error says which action is not a field of meta.json.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once("{{") {
            parts.push(Part::Text(before.to_owned()));
            let (action, after) = behind
                .split_once("}}")
                .ok_or_else(|| format!("template {text:?}: \"{{{{\" without \"}}}}\""))?;
            let name = action.trim();
            let field = FIELDS.iter().find(|(field, _)| *field == name);
            let names = || FIELDS.iter().map(|(field, _)| *field).collect::<Vec<_>>().join(", ");
            let (_, print) = field.ok_or_else(|| {
                format!("neither wide nor json, and in the template {{{{{name}}}}} is none of {}", names())
            })?;
            parts.push(Part::Field(*print));
            rest = after;
        }
        if parts.is_empty() {
            return Err(format!(
                "found {text:?}, expected wide, json, or a template such as '{{{{.ULID}}}}'"
            ));
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Template { parts })
    }

    /// The line of a block.
    pub(super) fn print(&self, meta: &BlockMeta) -> String {
        let print = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(print) => print(meta),
        };
        self.parts.iter().map(print).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_field_is_named() {
        for (text, want) in [
            ("yaml", "found \"yaml\""),
            ("{{.ULID", "without"),
            ("{{range .Thanos.Files}}{{end}}", "{{range .Thanos.Files}} is none of .ULID, .MinTime"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
        assert_eq!(Template::parse("{{ .ULID }} x {{.Version}}").unwrap().parts.len(), 5);
    }
}
