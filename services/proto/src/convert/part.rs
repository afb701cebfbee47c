//! Rows of parts of queries on the wire and back.

use bytes::Bytes;
use tithon_promql::PartRow;

use super::points::{histogram_from_wire, histogram_to_wire};
use super::{labels_from_wire, labels_to_wire};
use crate::{ConvertError, tithon};

/// A row as a message.
pub fn part_row_to_wire(row: &PartRow) -> tithon::PartRow {
    let mut floats = Vec::with_capacity(row.floats().len() * 8);
    row.floats().iter().for_each(|v| floats.extend_from_slice(&v.to_le_bytes()));
    tithon::PartRow {
        labels: labels_to_wire(row.labels()),
        floats: Bytes::from(floats),
        present: row.present().to_vec(),
        histograms: row.histograms().map(|(step, h)| histogram_to_wire(i64::from(step), h)).collect(),
    }
}

/// The row of so many steps in a message. Fails if its samples do not belong to steps.
pub fn part_row_from_wire(wire: tithon::PartRow, steps: usize) -> Result<PartRow, ConvertError> {
    let (floats, rest) = wire.floats.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(ConvertError::Floats(wire.floats.len()));
    }
    let floats = floats.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    // A step that is no number of 32 bits is none of the query.
    let step = |timestamp: i64| u32::try_from(timestamp).unwrap_or(u32::MAX);
    let histograms = wire.histograms.iter().map(|h| (step(h.timestamp), histogram_from_wire(h))).collect();
    let labels = labels_from_wire(&wire.labels);
    PartRow::new(labels.clone(), steps, floats, wire.present, histograms)
        .map_err(|error| ConvertError::Row(labels, error))
}

#[cfg(test)]
mod tests {
    use tithon_chunks::FloatHistogram;
    use tithon_index::Labels;

    use super::*;

    #[test]
    fn rows_arrive_as_they_were() {
        let labels = Labels::from_pairs([("a", "b")]);
        let odd = f64::from_bits(0x7ff0_0000_0000_0002);
        let histogram = FloatHistogram { count: 2.5, ..FloatHistogram::default() };
        let row =
            PartRow::new(labels, 3, vec![odd, -0.0, 7.0], vec![0b11], vec![(2, histogram)]).expect("a row");
        let wire = part_row_to_wire(&row);
        let read = part_row_from_wire(wire.clone(), 3).expect("a row");
        let bits = |row: &PartRow| row.floats().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((read.labels(), bits(&read), read.present()), (row.labels(), bits(&row), row.present()));
        assert_eq!(read.histograms().collect::<Vec<_>>(), row.histograms().collect::<Vec<_>>());
        assert!(matches!(part_row_from_wire(wire.clone(), 4), Err(ConvertError::Row(..))));
        let cut = tithon::PartRow { floats: wire.floats.slice(1..), ..wire };
        assert!(matches!(part_row_from_wire(cut, 3), Err(ConvertError::Floats(23))));
    }
}
