//! Messages of pprof's `profile.proto`, and a builder that makes one of stacks.
//! <https://github.com/google/pprof/tree/main/proto>

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(crate) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub(crate) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(crate) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(crate) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(crate) period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub(crate) period: i64,
    #[prost(int64, tag = "14")]
    pub(crate) default_sample_type: i64,
}

/// A type of value and its unit, as indexes into the string table.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(crate) r#type: i64,
    #[prost(int64, tag = "2")]
    pub(crate) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    /// Innermost location first.
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) location_id: Vec<u64>,
    /// One value for each type.
    #[prost(int64, repeated, tag = "2")]
    pub(crate) value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Location {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) address: u64,
    /// Innermost function first, if functions are inlined.
    #[prost(message, repeated, tag = "4")]
    pub(crate) line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Line {
    #[prost(uint64, tag = "1")]
    pub(crate) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Function {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) name: i64,
    #[prost(int64, tag = "3")]
    pub(crate) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(crate) filename: i64,
}

/// A function with a position in its source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Frame {
    /// A function's name; one without a path, as programs with line tables alone have them, gets its file.
    pub(crate) fn new(function: String, file: String, line: u32) -> Frame {
        let function = match file_tail(&file) {
            Some(tail) if !function.is_empty() && !function.contains("::") => format!("{function} ({tail})"),
            _ => function,
        };
        Frame { function, file, line }
    }
}

/// What tells a source file from others of its name: its crate's folder and what lies below.
fn file_tail(file: &str) -> Option<&str> {
    let src = file.rfind("/src/")?;
    let folder = file[..src].rfind('/').map_or(0, |at| at + 1);
    Some(&file[folder..])
}

/// A profile being built.
pub(crate) struct Builder {
    profile: Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64), u64>,
    locations: HashMap<(usize, Vec<Frame>), u64>,
}

impl Builder {
    /// A profile whose samples have values of these types and units, taken over the `duration` that ends now.
    pub(crate) fn new(types: &[(&str, &str)], duration: Duration) -> Builder {
        let mut builder = Builder {
            profile: Profile::default(),
            strings: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
        };
        // The format requires that the first string is empty.
        builder.string("");
        for (name, unit) in types {
            let value = builder.value_type(name, unit);
            builder.profile.sample_type.push(value);
        }
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(duration);
        (builder.profile.time_nanos, builder.profile.duration_nanos) = (nanos(begun), nanos(duration));
        builder
    }

    /// Sets the distance between two samples.
    pub(crate) fn period(&mut self, name: &str, unit: &str, period: i64) {
        self.profile.period_type = Some(self.value_type(name, unit));
        self.profile.period = period;
    }

    /// Sets the type of value that tools show first.
    pub(crate) fn default_type(&mut self, name: &str) {
        self.profile.default_sample_type = self.string(name);
    }

    /// Adds a stack, innermost location first, with its values. A location is an address and its functions, inlined
    /// ones first.
    pub(crate) fn sample(&mut self, stack: impl IntoIterator<Item = (usize, Vec<Frame>)>, value: Vec<i64>) {
        let location_id = stack.into_iter().map(|(address, frames)| self.location(address, frames)).collect();
        self.profile.sample.push(Sample { location_id, value });
    }

    /// The profile's bytes, compressed with gzip.
    pub(crate) fn finish(self) -> std::io::Result<Vec<u8>> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&self.profile.encode_to_vec())?;
        packed.finish()
    }

    fn value_type(&mut self, name: &str, unit: &str) -> ValueType {
        ValueType { r#type: self.string(name), unit: self.string(unit) }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(at) = self.strings.get(text) {
            return *at;
        }
        let at = i64::try_from(self.profile.string_table.len()).unwrap_or(i64::MAX);
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), at);
        at
    }

    fn location(&mut self, address: usize, frames: Vec<Frame>) -> u64 {
        let key = (address, frames);
        if let Some(id) = self.locations.get(&key) {
            return *id;
        }
        let line = key.1.iter().map(|frame| self.line(frame)).collect();
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(Location { id, address: address as u64, line });
        self.locations.insert(key, id);
        id
    }

    fn line(&mut self, frame: &Frame) -> Line {
        let (name, filename) = (self.string(&frame.function), self.string(&frame.file));
        let next = self.profile.function.len() as u64 + 1;
        let id = *self.functions.entry((name, filename)).or_insert(next);
        if id == next {
            self.profile.function.push(Function { id, name, system_name: name, filename });
        }
        Line { function_id: id, line: i64::from(frame.line) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn bare_names_have_their_file() {
        let name = |function: &str, file: &str| Frame::new(function.to_owned(), file.to_owned(), 1).function;
        assert_eq!(name("next", "/a/b/engine/src/select/kept.rs"), "next (engine/src/select/kept.rs)");
        assert_eq!(name("next", "engine/src/select/kept.rs"), "next (engine/src/select/kept.rs)");
        assert_eq!(name("tithon_engine::merge::next", "engine/src/merge.rs"), "tithon_engine::merge::next");
        assert_eq!(name("memcpy", "string.c"), "memcpy");
    }

    #[test]
    fn equal_places_functions_and_texts_are_kept_once() {
        let frame =
            |function: &str, line| Frame { function: function.to_owned(), file: "f.rs".to_owned(), line };
        let mut builder = Builder::new(&[("samples", "count")], Duration::from_secs(2));
        builder.period("cpu", "nanoseconds", 10);
        builder.sample([(1, vec![frame("a", 1)]), (2, vec![frame("b", 2)])], vec![3]);
        builder.sample([(3, vec![frame("a", 9)]), (2, vec![frame("b", 2)])], vec![4]);
        let packed = builder.finish().unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
        let profile = Profile::decode(bytes.as_slice()).unwrap();
        assert_eq!(profile.string_table, ["", "samples", "count", "cpu", "nanoseconds", "a", "f.rs", "b"]);
        assert_eq!((profile.location.len(), profile.function.len()), (3, 2));
        assert_eq!(profile.sample[0].location_id[1], profile.sample[1].location_id[1]);
        assert_eq!(profile.sample[1].value, [4]);
        assert_eq!((profile.duration_nanos, profile.period), (2_000_000_000, 10));
    }
}
