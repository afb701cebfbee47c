//! Writes JSON as Prometheus's API does: strings, numbers, label sets, samples, histograms.
//!
//! Values of samples are JSON strings, so no general serializer fits. Prometheus `web/api/v1/json_codec.go`.

mod histogram;
mod number;
mod plan;
mod points;
mod result;
mod text;

pub(crate) use self::number::{push_scalar_value, push_seconds, push_timestamp, push_value};
pub(crate) use self::plan::push_plan;
pub(crate) use self::result::{Part, Timings, parts};
pub(crate) use self::text::{push_label_text, push_text};

use tithon_index::Labels;

/// Writes a label set as an object.
pub(crate) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_label_text(out, name);
        out.push(b':');
        push_label_text(out, value);
    }
    out.push(b'}');
}

/// Writes a list; `item` writes each item.
pub(crate) fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (i, x) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        item(out, x);
    }
    out.push(b']');
}
