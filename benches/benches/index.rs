//! Postings, matchers, writer, header and filter of `tithon-index`, each against its scalar twin or a naive loop.

use bytes::Bytes;
use tithon_benches::{Report, median_ns};
use tithon_chunks::{ChunkMeta, ChunkRef, TimeRange, Timestamp};
use tithon_index::kernel::{self, Isa};
use tithon_index::{
    IndexHeader, IndexReader, IndexWriter, LabelFilter, MatchOp, Matcher, PostingsPlan, SeriesDecoder,
    SeriesEntry, SymbolRef, Toc, sets, write_thanos_header,
};

/// Runs the groups that are named on the command line, all where none is.
fn main() {
    let mut rows = Rows(Report::from_args());
    let report = &mut rows;
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |group: &str| named.is_empty() || named.iter().any(|name| name == group);
    type Alone = fn(&mut Rows);
    type OverIndex = fn(&mut Rows, &Bytes);
    let alone: [(&str, Alone); 5] = [
        ("intersect", intersect),
        ("expand", expand),
        ("union", union),
        ("writer", writer),
        ("large-header", large_header),
    ];
    let over_index: [(&str, OverIndex); 5] =
        [("regex", regex), ("postings", plans), ("header", header), ("series", series), ("filter", filter)];
    alone.iter().filter(|(group, _)| wanted(group)).for_each(|(_, run)| run(report));
    let index = synthetic_index(400_000);
    over_index.iter().filter(|(group, _)| wanted(group)).for_each(|(_, run)| run(report, &index));
    rows.0.finish();
}

/// Rows that are compared with the value of something named, lower being better.
struct Rows(Report);

impl Rows {
    fn row(&mut self, bench: &str, unit: &str, value: f64, against: Option<(&str, f64)>) {
        let (name, ratio) = against.map_or(("", 0.0), |(name, against)| (name, against / value));
        self.0.row(bench, unit, value, name, ratio);
    }
}

/// A generator of numbers that is the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Each number of `0..span` with a chance of `n / span`.
fn refs(random: &mut Random, n: u64, span: u64) -> Vec<u32> {
    (0..span).filter(|_| random.below(span) < n).map(|r| r as u32).collect()
}

fn intersect(report: &mut Rows) {
    let mut random = Random(1);
    for (name, n, m, span) in [
        ("half", 500_000, 500_000, 1_000_000),
        ("tenth", 100_000, 100_000, 1_000_000),
        ("sparse", 100_000, 100_000, 50_000_000),
        ("4096", 4096, 4096, 16_384),
        ("1-to-10", 50_000, 500_000, 1_000_000),
        ("1-to-1000", 1_000, 1_000_000, 2_000_000),
    ] {
        let (a, b) = (refs(&mut random, n, span), refs(&mut random, m, span));
        let inputs = (a.len() + b.len()) as f64;
        let run = |isa| {
            median_ns(|| {
                let mut out = Vec::new();
                kernel::intersect(isa, &a, &b, &mut out);
                out
            }) / inputs
        };
        let scalar = run(Isa::SCALAR);
        for isa in Isa::available() {
            report.row(
                &format!("intersect/{name}/{}", isa.name()),
                "ns/input",
                run(isa),
                Some(("scalar", scalar)),
            );
        }
        let chosen = median_ns(|| sets::intersect(&a, &b)) / inputs;
        report.row(&format!("intersect/{name}/chosen"), "ns/input", chosen, Some(("scalar", scalar)));
        let difference = median_ns(|| sets::difference(&a, &b)) / inputs;
        report.row(&format!("difference/{name}/chosen"), "ns/input", difference, None);
    }
}

fn expand(report: &mut Rows) {
    for n in [1_000u32, 100_000, 4_000_000] {
        let stored: Vec<u8> = (0..n).flat_map(|r| (r * 3).to_be_bytes()).collect();
        let mut out = Vec::new();
        let mut run = |isa| {
            median_ns(|| {
                out.clear();
                kernel::expand(isa, &stored, &mut out);
                out.len()
            }) / f64::from(n)
        };
        let scalar = run(Isa::SCALAR);
        for isa in Isa::available() {
            report.row(
                &format!("expand/{n}/{}", isa.name()),
                "ns/posting",
                run(isa),
                Some(("scalar", scalar)),
            );
        }
    }
}

fn union(report: &mut Rows) {
    for (name, lists, each, span) in [
        ("10000x100", 10_000, 100, 3_000_000),
        ("1000x10", 1000, 10, 60_000_000),
        ("10000x100-sparse", 10_000, 100, 4_000_000_000),
        ("3x130000", 3, 130_000, 400_000),
    ] {
        let mut random = Random(2);
        let mut all = Vec::with_capacity(lists * each);
        for _ in 0..lists {
            let mut list: Vec<u32> = (0..each).map(|_| random.below(span) as u32).collect();
            list.sort_unstable();
            all.append(&mut list);
        }
        let value = median_ns(|| sets::normalize(all.clone())) / all.len() as f64;
        let sorted = median_ns(|| {
            let mut all = all.clone();
            all.sort_unstable();
            all.dedup();
            all
        }) / all.len() as f64;
        report.row(&format!("union/{name}"), "ns/posting", value, Some(("sort", sorted)));
    }
}

const SERVICES: [&str; 40] = [
    "accounts",
    "auth",
    "billing",
    "cache",
    "cart",
    "catalog",
    "checkout",
    "config",
    "currency",
    "email",
    "events",
    "feed",
    "gateway",
    "geo",
    "graph",
    "identity",
    "images",
    "indexer",
    "inventory",
    "ledger",
    "login",
    "metrics",
    "notify",
    "orders",
    "payments",
    "pricing",
    "profile",
    "proxy",
    "queue",
    "ranking",
    "recommend",
    "report",
    "search",
    "session",
    "shipping",
    "stock",
    "stream",
    "tax",
    "users",
    "worker",
];
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Names of pods as Kubernetes gives them: service, version, hash, suffix.
fn pods(n: usize) -> Vec<String> {
    let mut random = Random(3);
    let mut pods = std::collections::BTreeSet::new();
    while pods.len() < n {
        let mut pod = format!("{}-v{}-", SERVICES[random.below(40) as usize], random.below(30));
        let hash = random.next();
        for i in 0..10 {
            pod.push(LETTERS[(hash >> (4 * (i % 3)) & 15) as usize] as char);
        }
        pod.push('-');
        for _ in 0..5 {
            pod.push(LETTERS[random.below(27) as usize] as char);
        }
        pods.insert(pod);
    }
    pods.into_iter().collect()
}

/// An index with a series for each pod, and some labels besides.
fn synthetic_index(n: usize) -> Bytes {
    let pods = pods(n);
    let mut symbols: std::collections::BTreeSet<String> = pods.iter().cloned().collect();
    for text in ["__name__", "http_requests_total", "pod", "service", "zone"] {
        symbols.insert(text.into());
    }
    symbols.extend(SERVICES.iter().map(|s| s.to_string()));
    symbols.extend((0..3).map(|z| format!("zone-{z}")));
    let mut writer = IndexWriter::new(Vec::new()).expect("a vector takes all");
    for symbol in &symbols {
        writer.add_symbol(symbol.as_bytes()).expect("sorted");
    }
    let symbol = |w: &IndexWriter<Vec<u8>>, text: &str| w.symbol(text.as_bytes()).expect("added");
    let (name, metric) = (symbol(&writer, "__name__"), symbol(&writer, "http_requests_total"));
    let (pod_name, service_name) = (symbol(&writer, "pod"), symbol(&writer, "service"));
    let zone_name = symbol(&writer, "zone");
    for (i, pod) in pods.iter().enumerate() {
        let service = pod.split('-').next().expect("a first part");
        let (pod, service) = (symbol(&writer, pod), symbol(&writer, service));
        let zone = symbol(&writer, &format!("zone-{}", i % 3));
        let labels = [(name, metric), (pod_name, pod), (service_name, service), (zone_name, zone)];
        writer.add_series_symbols(&labels, &chunks(i as u64)).expect("in order");
    }
    writer.finish().expect("a vector takes all").0.into()
}

fn chunks(series: u64) -> [ChunkMeta; 2] {
    [0, 1].map(|k| ChunkMeta {
        min_time: Timestamp(1_714_521_600_000 + k * 3_600_000),
        max_time: Timestamp(1_714_521_600_000 + k * 3_600_000 + 3_585_000),
        chunk_ref: ChunkRef(8 + (series * 2 + k as u64) * 200),
    })
}

/// Values selected by a matcher, the naive way: a general regular expression called on each value.
fn naive(values: &[&[u8]], pattern: &str) -> (f64, usize) {
    let regex = regex_automata::meta::Regex::new(&format!("^(?s:{pattern})$")).expect("a pattern");
    let mut n = 0;
    let ns = median_ns(|| n = values.iter().filter(|value| regex.is_match(**value)).count());
    (ns, n)
}

fn regex(report: &mut Rows, index: &Bytes) {
    let header = IndexHeader::from_index(index).expect("a good index");
    let values: Vec<&[u8]> =
        header.label_values(b"pod").expect("a good index").map(|v| v.expect("good").value).collect();
    let mut random = Random(4);
    let mut pick = |n| -> String {
        let some: Vec<&str> = (0..n)
            .map(|_| std::str::from_utf8(values[random.below(values.len() as u64) as usize]).expect("ASCII"))
            .collect();
        some.join("|")
    };
    let (one, ten, hundred, thousand) = (pick(1), pick(10), pick(100), pick(1000));
    let suffix = format!(".*{}", &one[one.len() - 5..]);
    let cases = [
        ("prefix", "checkout-v1.*".to_owned()),
        ("suffix", suffix.clone()),
        ("contains", ".*-v27-.*".to_owned()),
        ("contains-rare", ".*zzzz.*".to_owned()),
        ("contains-two", ".*cart.*v9.*".to_owned()),
        ("alternatives-10", ten),
        ("alternatives-1000", thousand),
        ("ignore-case", format!("(?i){one}")),
        ("ignore-case-alternatives-100", format!("(?i){hundred}")),
        ("ignore-case-prefix", "(?i)CHECKOUT-v1.*".to_owned()),
        ("ignore-case-suffix", format!("(?i){suffix}")),
        ("ignore-case-contains", "(?i).*-V27-.*".to_owned()),
        ("classes", "checkout-v[0-9]+-[b-d]+.*".to_owned()),
        ("classes-anywhere", "[a-c].*-v1[0-9]-.*[2-4]{2}".to_owned()),
        ("any", ".+".to_owned()),
    ];
    for (kind, pattern) in cases {
        let (against, expected) = naive(&values, &pattern);
        let matcher = Matcher::new(MatchOp::Regex, "pod", &pattern).expect("a pattern");
        let got = IndexReader::open(index.clone()).expect("good").postings(std::slice::from_ref(&matcher), 0);
        assert_eq!(got.expect("good").len(), expected, "{kind}");
        let plan = || PostingsPlan::new(&header, std::slice::from_ref(&matcher), 0).expect("a good index");
        report.row(
            &format!("regex/{kind}/400000"),
            "us",
            median_ns(plan) / 1e3,
            Some(("regex on every value", against / 1e3)),
        );
    }
}

fn plans(report: &mut Rows, index: &Bytes) {
    let reader = IndexReader::open(index.clone()).expect("a good index");
    let matcher = |op, name, value| Matcher::new(op, name, value).expect("a pattern");
    let cases = [
        ("equal", vec![matcher(MatchOp::Equal, "service", "checkout")]),
        ("not-empty", vec![matcher(MatchOp::NotEqual, "pod", "")]),
        ("all", vec![matcher(MatchOp::Equal, "__name__", "http_requests_total")]),
        (
            "two",
            vec![matcher(MatchOp::Equal, "service", "cart"), matcher(MatchOp::Regex, "zone", "zone-[01]")],
        ),
        (
            "minus",
            vec![
                matcher(MatchOp::Equal, "__name__", "http_requests_total"),
                matcher(MatchOp::NotEqual, "zone", "zone-1"),
            ],
        ),
    ];
    for (name, matchers) in cases {
        let n = reader.postings(&matchers, 0).expect("a good index").len();
        let ns = median_ns(|| reader.postings(&matchers, 0).expect("a good index"));
        report.row(&format!("postings/{name}"), "us", ns / 1e3, None);
        report.row(&format!("postings/{name}/series"), "ns/series", ns / n as f64, None);
        let ten = median_ns(|| reader.postings(&matchers, 10).expect("a good index"));
        report.row(
            &format!("postings/{name}/limit-10"),
            "us",
            ten / 1e3,
            Some(("without a limit", ns / 1e3)),
        );
    }
}

fn writer(report: &mut Rows) {
    const N: usize = 100_000;
    let index = synthetic_index(N);
    let reader = IndexReader::open(index.clone()).expect("a good index");
    let symbols: Vec<&[u8]> = reader.header().symbols().iter().collect();
    let mut entries = Vec::with_capacity(N);
    for series in reader.postings(&[], 0).expect("a good index").iter() {
        let mut entry = SeriesEntry::default();
        reader.series(series, TimeRange::ALL, &mut entry).expect("a good index");
        entries.push(entry);
    }
    let ns = median_ns(|| {
        let mut writer = IndexWriter::new(Vec::with_capacity(index.len())).expect("a vector takes all");
        for symbol in &symbols {
            writer.add_symbol(symbol).expect("sorted");
        }
        for entry in &entries {
            writer.add_series_symbols(&entry.labels, &entry.chunks).expect("in order");
        }
        writer.finish().expect("a vector takes all").0.len()
    });
    let mut decoder = SeriesDecoder::new(reader.header());
    let labels: Vec<_> = entries.iter().map(|entry| decoder.labels(entry).expect("good")).collect();
    let by_labels = median_ns(|| {
        let mut writer = IndexWriter::new(Vec::with_capacity(index.len())).expect("a vector takes all");
        for symbol in &symbols {
            writer.add_symbol(symbol).expect("sorted");
        }
        for (labels, entry) in labels.iter().zip(&entries) {
            writer.add_series(labels, &entry.chunks).expect("in order");
        }
        writer.finish().expect("a vector takes all").0.len()
    });
    report.row("writer/labels", "series/s", N as f64 / by_labels * 1e9, None);
    report.row("writer/symbols", "series/s", N as f64 / ns * 1e9, None);
    report.row("writer/bytes", "GB/s", index.len() as f64 / ns, None);
}

fn header(report: &mut Rows, index: &Bytes) {
    let toc = Toc::parse(index, index.len() as u64).expect("a good index");
    let part = |r: std::ops::Range<u64>| &index[r.start as usize..r.end as usize];
    let (symbols, offsets) = (part(toc.symbols_range()), part(toc.offsets_range(index.len() as u64)));
    let bytes = (symbols.len() + offsets.len()) as f64;
    let open = median_ns(|| IndexHeader::from_index(index).expect("a good index"));
    report.row("header/open", "GB/s", bytes / open, None);
    report.row("header/open/whole-index", "GB/s", index.len() as f64 / open, None);
    let mut file = Vec::with_capacity(index.len());
    let write = median_ns(|| {
        file.clear();
        write_thanos_header(2, &toc, symbols, offsets, &mut file).expect("a vector takes all");
    });
    report.row("header/thanos/write", "GB/s", bytes / write, None);
    let file = Bytes::from(file);
    let open = median_ns(|| IndexHeader::from_thanos(&file).expect("a good header"));
    report.row("header/thanos/open", "us", open / 1e3, None);
    let header = IndexHeader::from_index(index).expect("a good index");
    report.row("header/resident", "bytes", header.resident_bytes() as f64, None);
    let mut sparse = Vec::with_capacity(index.len());
    let build = median_ns(|| {
        sparse.clear();
        let parts = IndexHeader::from_sections(
            2,
            toc,
            index.slice(toc.symbols as usize..toc.series as usize),
            index.slice(toc.postings_offsets as usize..),
        );
        parts.expect("a good index").write_sparse(&mut sparse).expect("a vector takes all");
    });
    report.row("header/sparse/build", "GB/s", bytes / build, None);
    report.row("header/sparse/build/whole-index", "GB/s", index.len() as f64 / build, None);
    let sparse = Bytes::from(sparse);
    let cold = median_ns(|| IndexHeader::from_sparse(&sparse).expect("a good header"));
    report.row("header/sparse/open", "us", cold / 1e3, Some(("index-header of Thanos", open / 1e3)));
    let resident = IndexHeader::from_sparse(&sparse).expect("a good header").resident_bytes();
    report.row(
        "header/sparse/resident",
        "bytes",
        resident as f64,
        Some(("opened index", header.resident_bytes() as f64)),
    );
    let values: Vec<&[u8]> =
        header.label_values(b"pod").expect("good").map(|v| v.expect("good").value).collect();
    let mut random = Random(5);
    let lookup = median_ns(|| {
        for _ in 0..1000 {
            let value = values[random.below(values.len() as u64) as usize];
            std::hint::black_box(header.postings_range(b"pod", value).expect("good"));
        }
    });
    report.row("header/lookup", "ns", lookup / 1e3, None);
    let values = median_ns(|| {
        header.label_values(b"pod").expect("good").map(|v| v.expect("good").value.len()).sum::<usize>()
    });
    report.row("header/label-values", "ns/value", values / 400_000.0, None);
}

/// An index of about a gigabyte: its header built from ranges, opened, asked.
fn large_header(report: &mut Rows) {
    let index = wide_index(4_000_000);
    let toc = Toc::parse(&index, index.len() as u64).expect("a good index");
    let mut sparse = Vec::new();
    let build = median_ns(|| {
        sparse.clear();
        let symbols = index.slice(toc.symbols as usize..toc.series as usize);
        let offsets = index.slice(toc.postings_offsets as usize..);
        let header = IndexHeader::from_sections(2, toc, symbols, offsets).expect("a good index");
        header.write_sparse(&mut sparse).expect("a vector takes all");
    });
    let ranges = (toc.series - toc.symbols) + (index.len() as u64 - toc.postings_offsets);
    report.row("header/build", "GB/s", ranges as f64 / build, None);
    report.row("header/build/whole-index", "GB/s", index.len() as f64 / build, None);
    let file = std::env::temp_dir().join(format!("tithon-bench-{}", std::process::id()));
    std::fs::write(&file, &sparse).expect("a writable temporary directory");
    drop(sparse);
    let map = || tithon_engine::MappedFile::open(&file).expect("written above").bytes().clone();
    let open = median_ns(|| IndexHeader::from_sparse(&map()).expect("a good header"));
    let name = format!("header/open-{:.1}GB", index.len() as f64 / 1e9);
    report.row(&name, "us", open / 1e3, None);
    let value = "container-00000000000001234567";
    let first = median_ns(|| {
        let header = IndexHeader::from_sparse(&map()).expect("a good header");
        header.postings_range(b"id", value.as_bytes()).expect("good")
    });
    report.row("header/open-and-first-lookup", "us", first / 1e3, None);
    let resident = IndexHeader::from_sparse(&map()).expect("a good header").resident_bytes();
    report.row("header/resident-cold", "bytes", resident as f64, None);
    std::fs::remove_file(&file).expect("written above");
}

/// An index with a unique label and chunks of many hours for each series: about 250 bytes a series.
fn wide_index(n: u32) -> Bytes {
    let mut writer = IndexWriter::new(Vec::with_capacity(n as usize * 260)).expect("a vector takes all");
    let mut add = |text: &str| writer.add_symbol(text.as_bytes()).expect("sorted");
    let name = add("__name__");
    let ids: Vec<SymbolRef> = (0..n).map(|i| add(&format!("container-{i:020}"))).collect();
    let (metric, id, image) = (add("container_cpu_usage_seconds_total"), add("id"), add("image"));
    let images: Vec<SymbolRef> = (0..100).map(|i| add(&format!("registry/image-{i:03}"))).collect();
    for (i, own) in ids.iter().enumerate() {
        let chunks: Vec<ChunkMeta> = (0..14u64)
            .map(|k| ChunkMeta {
                min_time: Timestamp(1_714_521_600_000 + k as i64 * 7_200_000),
                max_time: Timestamp(1_714_521_600_000 + k as i64 * 7_200_000 + 7_185_000),
                chunk_ref: ChunkRef(8 + (i as u64 * 14 + k) * 200),
            })
            .collect();
        writer
            .add_series_symbols(&[(name, metric), (id, *own), (image, images[i % 100])], &chunks)
            .expect("in order");
    }
    writer.finish().expect("a vector takes all").0.into()
}

fn series(report: &mut Rows, index: &Bytes) {
    let reader = IndexReader::open(index.clone()).expect("a good index");
    let all = reader.postings(&[], 0).expect("a good index");
    let mut entry = SeriesEntry::default();
    let entries = median_ns(|| {
        let mut n = 0;
        for series in all.iter() {
            reader.series(series, TimeRange::ALL, &mut entry).expect("a good index");
            n += entry.chunks.len();
        }
        n
    });
    report.row("series/entry", "ns/series", entries / all.len() as f64, None);
    let mut decoder = SeriesDecoder::new(reader.header());
    let labels = median_ns(|| {
        let mut n = 0;
        for series in all.iter() {
            reader.series(series, TimeRange::ALL, &mut entry).expect("a good index");
            n += decoder.labels(&entry).expect("a good index").bytes();
        }
        n
    });
    report.row("series/labels", "ns/series", labels / all.len() as f64, None);
    let symbols = reader.header().symbols();
    let mut random = Random(6);
    let symbol = median_ns(|| {
        (0..1000)
            .map(|_| symbols.get(SymbolRef(random.below(symbols.len() as u64) as u32)).expect("good").len())
            .sum::<usize>()
    });
    report.row("series/symbol", "ns", symbol / 1e3, None);
}

fn filter(report: &mut Rows, index: &Bytes) {
    let header = IndexHeader::from_index(index).expect("a good index");
    let build = median_ns(|| LabelFilter::build(&header).expect("a good index"));
    let filter = LabelFilter::build(&header).expect("a good index");
    let pairs = 400_044.0;
    report.row("filter/build", "ns/pair", build / pairs, None);
    report.row("filter/size", "bytes/pair", filter.as_bytes().len() as f64 / pairs, None);
    let absent: Vec<String> = (0..100_000).map(|i| format!("trace-{i:08x}")).collect();
    let hits = absent.iter().filter(|value| filter.may_contain(b"pod", value.as_bytes())).count();
    report.row("filter/false-positives", "%", hits as f64 / 1000.0, None);
    // A block of a thousand asked for a pair that none has: the filter alone, a lookup in an open header, and a header
    // that has to be opened first.
    let mut next = 0;
    let mut value = || {
        next = (next + 1) % absent.len();
        absent[next].as_bytes()
    };
    let asked = median_ns(|| (0..1000).filter(|_| filter.may_contain(b"pod", value())).count()) / 1e3;
    let warm = median_ns(|| {
        (0..1000).filter(|_| header.postings_range(b"pod", value()).expect("good").is_some()).count()
    }) / 1e3;
    let cold = median_ns(|| {
        let header = IndexHeader::from_index(index).expect("a good index");
        header.postings_range(b"pod", value()).expect("good")
    });
    report.row("filter/1000-blocks/warm-headers", "us", asked, Some(("lookups in open headers", warm)));
    report.row("filter/1000-blocks/cold-headers", "us", asked, Some(("opening headers", cold)));
    let mut sparse = Vec::new();
    header.write_sparse(&mut sparse).expect("a vector takes all");
    let sparse = Bytes::from(sparse);
    let cold = median_ns(|| {
        let header = IndexHeader::from_sparse(&sparse).expect("a good header");
        header.postings_range(b"pod", value()).expect("good")
    });
    report.row("filter/1000-blocks/cold-sparse-headers", "us", asked, Some(("opening sparse headers", cold)));
}
