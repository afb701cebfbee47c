//! `tithon tools rules-check`: checks rule files. Thanos `cmd/thanos/tools.go`.

use std::process::ExitCode;

use tithon_rule::read_rules;
use tracing::{error, info};

use crate::cli::RulesCheckFlags;
use crate::rule::parse_options;

/// Checks all files and reports every mistake.
pub fn run(flags: &RulesCheckFlags) -> ExitCode {
    let (mut is_sound, options) = (true, parse_options(&flags.features));
    for pattern in &flags.patterns {
        info!(pattern, "checking");
        let found = match glob::glob(pattern) {
            Ok(found) => found,
            Err(error) => {
                error!(pattern, result = "FAILED", %error, "the pattern cannot be used");
                is_sound = false;
                continue;
            }
        };
        let files: Vec<_> = found.filter_map(Result::ok).filter(|path| path.is_file()).collect();
        if files.is_empty() {
            error!(pattern, result = "FAILED", "no rule file found");
            is_sound = false;
        }
        for file in files {
            info!(filename = %file.display(), "checking");
            match read_rules(&file, &options) {
                Ok(groups) => {
                    let rules: usize = groups.iter().map(|group| group.rules.len()).sum();
                    info!(filename = %file.display(), result = "SUCCESS", rulesfound = rules, "checked");
                }
                Err(faults) => {
                    is_sound = false;
                    error!(filename = %file.display(), result = "FAILED", "checked");
                    for fault in faults.0 {
                        error!(error = %fault, "fault");
                    }
                }
            }
        }
    }
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
