//! `tithon tools bucket retention`: marks what is past its retention, and drops series that are, or says what that would free.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanBytes;
use serde::Serialize;
use tithon_compact::{Forecast, Freed};
use tithon_engine::BlockId;
use tithon_engine::plan::{Retention, RetentionPolicy};
use tithon_index::Matcher;
use tracing::warn;

use super::jobs::{compactor, finished};
use crate::cli::{Output, RetentionFlags};
use crate::flags::{UsageError, read_policy};
use crate::output::stdout;

/// A rule, as it is printed.
#[derive(Serialize)]
struct Row {
    /// From 1; nothing for series that no rule matches.
    rule: Option<usize>,
    r#match: String,
    #[serde(flatten)]
    freed: Freed,
}

#[derive(Serialize)]
struct Printed {
    rules: Vec<Row>,
    /// Blocks that stay because a coarser resolution, which is kept longer, lacks their data.
    waiting: Vec<BlockId>,
}

/// Does it once.
pub async fn run(flags: &RetentionFlags) -> Result<(), Box<dyn Error>> {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let retention = Retention {
        of_raw_blocks_ms: ms(flags.raw),
        of_5m_blocks_ms: ms(flags.five_minutes),
        of_1h_blocks_ms: ms(flags.one_hour),
    };
    let policy =
        read_policy("policy", &flags.policy_file, &flags.policy, retention).map_err(UsageError::of)?;
    let compactor = compactor(&flags.common, policy.clone(), flags.data_dir.clone()).await?;
    if !flags.dry_run {
        warn!("no compactor should be running on the same bucket");
        return finished(&compactor.expire().await?);
    }
    let forecast = compactor.forecast_retention().await?;
    let printed = printed(&policy, &forecast);
    let text = match flags.output {
        Output::Table => table(&printed),
        Output::Json => serde_json::to_string_pretty(&printed)? + "\n",
    };
    stdout().write_all(text.as_bytes())?;
    match forecast.faulty.first_key_value() {
        None => Ok(()),
        Some((block, error)) => {
            Err(format!("{} blocks cannot be read, first {block}: {error}", forecast.faulty.len()).into())
        }
    }
}

fn printed(policy: &RetentionPolicy, forecast: &Forecast) -> Printed {
    let text = |matchers: &[Matcher]| {
        let all: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
        format!("{{{}}}", all.join(", "))
    };
    let numbered = policy.rules.iter().enumerate().map(|(i, rule)| (Some(i), text(&rule.matchers)));
    let rows = numbered.chain([(None, "all other series".to_owned())]).map(|(rule, r#match)| Row {
        rule: rule.map(|rule| rule + 1),
        r#match,
        freed: forecast.by_rule.get(&rule).copied().unwrap_or_default(),
    });
    Printed { rules: rows.collect(), waiting: forecast.waiting.clone() }
}

fn table(printed: &Printed) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let heads = ["rule", "match", "blocks dropped", "rewritten", "series", "chunks", "samples", "bytes"];
    table.set_header(heads);
    for Row { rule, r#match, freed } in &printed.rules {
        let number = rule.map_or_else(|| "-".to_owned(), |rule| rule.to_string());
        let Freed { blocks_dropped, blocks_rewritten, series, chunks, samples, bytes } = *freed;
        let counts = [blocks_dropped, blocks_rewritten, series, chunks, samples].map(|n| n.to_string());
        let mut row = vec![number, r#match.clone()];
        row.extend(counts);
        row.push(HumanBytes(bytes).to_string());
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let waiting = match printed.waiting.len() {
        0 => String::new(),
        n => format!(
            "\n{n} blocks stay until a coarser resolution, which is kept longer, has their data too\n"
        ),
    };
    format!("{table}\n{waiting}")
}
