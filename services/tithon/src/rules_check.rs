//! `tithon tools rules-check`: checks rule files. Thanos `cmd/thanos/tools.go`.

use std::error::Error;
use std::process::ExitCode;

use tithon_promql::ParseOptions;
use tithon_rule::read_rules;
use tracing::{error, info};

use crate::cli::RulesCheckFlags;

/// Checks all files and reports every mistake.
pub fn run(flags: &RulesCheckFlags) -> Result<ExitCode, Box<dyn Error>> {
    let mut is_sound = true;
    for pattern in &flags.patterns {
        let found = glob::glob(pattern).map_err(|error| format!("--rules={pattern}: {error}"))?;
        let files: Vec<_> = found.filter_map(Result::ok).filter(|path| path.is_file()).collect();
        if files.is_empty() {
            error!(pattern, "no rule file found");
            is_sound = false;
        }
        for file in files {
            info!(filename = %file.display(), "checking");
            match read_rules(&file, &ParseOptions::ALL) {
                Ok(groups) => {
                    let rules: usize = groups.iter().map(|group| group.rules.len()).sum();
                    info!(filename = %file.display(), "total rules" = rules, "success");
                }
                Err(faults) => {
                    is_sound = false;
                    for fault in faults.0 {
                        error!(error = %fault, "failed");
                    }
                }
            }
        }
    }
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
