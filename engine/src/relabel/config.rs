//! Relabelling steps as configurations write them.

use serde::Deserialize;

use crate::RelabelRecord;

/// One step; what is not given has Prometheus's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelabelConfig {
    source_labels: Option<Vec<String>>,
    separator: Option<String>,
    regex: Option<String>,
    modulus: Option<u64>,
    target_label: Option<String>,
    replacement: Option<String>,
    action: Option<String>,
}

impl RelabelConfig {
    /// The complete step.
    pub fn record(self) -> RelabelRecord {
        let default = RelabelRecord::new();
        RelabelRecord {
            source_labels: self.source_labels.unwrap_or(default.source_labels),
            separator: self.separator.unwrap_or(default.separator),
            regex: self.regex.unwrap_or(default.regex),
            modulus: self.modulus.unwrap_or(default.modulus),
            target_label: self.target_label.unwrap_or(default.target_label),
            replacement: self.replacement.unwrap_or(default.replacement),
            action: self.action.unwrap_or(default.action),
        }
    }
}
