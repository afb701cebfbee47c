//! The encoding byte of a chunk. Prometheus `tsdb/chunkenc/chunk.go`; 0xff is Thanos's.

/// How the data of a chunk is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 1: floats.
    Xor,
    /// 2: native histograms with integer counts.
    Histogram,
    /// 3: native histograms with float counts.
    FloatHistogram,
    /// 4: floats with optional start timestamps.
    Xor2,
    /// 5: integer histograms with optional start timestamps.
    HistogramSt,
    /// 6: float histograms with optional start timestamps.
    FloatHistogramSt,
    /// 0xff: five sub-chunks (count, sum, min, max, counter) of a downsampled block.
    Aggregate,
    /// Anything else: carried, never decoded.
    Unknown(u8),
}

impl Encoding {
    /// The encoding that `byte` stands for.
    pub const fn from_byte(byte: u8) -> Encoding {
        match byte {
            1 => Encoding::Xor,
            2 => Encoding::Histogram,
            3 => Encoding::FloatHistogram,
            4 => Encoding::Xor2,
            5 => Encoding::HistogramSt,
            6 => Encoding::FloatHistogramSt,
            0xff => Encoding::Aggregate,
            other => Encoding::Unknown(other),
        }
    }

    /// The byte written in segments and, for 1 to 6, on the wire of remote read.
    pub const fn byte(self) -> u8 {
        match self {
            Encoding::Xor => 1,
            Encoding::Histogram => 2,
            Encoding::FloatHistogram => 3,
            Encoding::Xor2 => 4,
            Encoding::HistogramSt => 5,
            Encoding::FloatHistogramSt => 6,
            Encoding::Aggregate => 0xff,
            Encoding::Unknown(byte) => byte,
        }
    }

    /// Whether the samples are plain floats.
    pub const fn is_float(self) -> bool {
        matches!(self, Encoding::Xor | Encoding::Xor2)
    }

    /// Whether the samples are native histograms.
    pub const fn is_histogram(self) -> bool {
        matches!(
            self,
            Encoding::Histogram
                | Encoding::FloatHistogram
                | Encoding::HistogramSt
                | Encoding::FloatHistogramSt
        )
    }
}
