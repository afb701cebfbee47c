//! Tokens and how messages name them. Upstream: `Item.desc` in `promql/parser/lex.go`.

use tithon_index::write_quoted;

use crate::ast::{AggregateOp, BinaryOp, PosRange};

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// The lexer could not continue; it has the message.
    Error,
    Eof,
    Comment,
    Identifier,
    MetricIdentifier,
    Number,
    Duration,
    String,
    /// `=`
    Assign,
    /// `=~`
    MatchRegex,
    /// `!~`
    MatchNotRegex,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    // Series descriptions only.
    Space,
    Blank,
    Times,
    OpenHistogram,
    CloseHistogram,
    HistogramKey(HistogramKey),
    ResetHint(tithon_chunks::CounterResetHint),
}

/// Keywords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// Keys of a histogram description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HistogramKey {
    Schema,
    Sum,
    Count,
    ZeroBucket,
    ZeroBucketWidth,
    CustomValues,
    Buckets,
    Offset,
    NegativeBuckets,
    NegativeOffset,
    CounterResetHint,
}

/// A token and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Token {
    pub(super) fn pos(&self) -> PosRange {
        PosRange::new(self.start, self.end)
    }

    /// The token's text.
    pub(super) fn text<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        &input[self.start as usize..self.end as usize]
    }

    /// The name of the token in messages.
    pub(super) fn describe(&self, input: &[u8]) -> String {
        let text = self.text(input);
        let lossy = String::from_utf8_lossy(text);
        let named = |name: &str| format!("{name} {}", shortened(text));
        match self.kind {
            TokenKind::Error => "error".to_owned(),
            TokenKind::Eof => "end of input".to_owned(),
            TokenKind::Comment => named("comment"),
            TokenKind::Identifier => format!("identifier {}", quoted(text)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quoted(text)),
            TokenKind::String => named("string"),
            TokenKind::Number => named("number"),
            TokenKind::Duration => named("duration"),
            TokenKind::HistogramKey(_) => named("histogram key"),
            TokenKind::ResetHint(_) => named("counter reset hint"),
            TokenKind::At | TokenKind::MatchRegex | TokenKind::MatchNotRegex | TokenKind::Op(_) => {
                format!("<op:{lossy}>")
            }
            TokenKind::Aggregate(_) => format!("<aggr:{lossy}>"),
            TokenKind::Keyword(k) if !k.is_preprocessor() => format!("<{lossy}>"),
            _ => shortened(text),
        }
    }
}

impl Keyword {
    /// Whether the keyword is a function as well; messages quote these.
    pub(super) fn is_preprocessor(self) -> bool {
        matches!(
            self,
            Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf
        )
    }
}

/// The token that a word makes outside braces, if it is no plain identifier. Case does not matter.
pub(super) fn keyword(word: &[u8]) -> Option<TokenKind> {
    use TokenKind::{Aggregate, Keyword as K, Op};
    if word.len() > 12 {
        return None;
    }
    Some(match word.to_ascii_lowercase().as_slice() {
        b"and" => Op(BinaryOp::And),
        b"or" => Op(BinaryOp::Or),
        b"unless" => Op(BinaryOp::Unless),
        b"atan2" => Op(BinaryOp::Atan2),
        b"sum" => Aggregate(AggregateOp::Sum),
        b"avg" => Aggregate(AggregateOp::Avg),
        b"count" => Aggregate(AggregateOp::Count),
        b"min" => Aggregate(AggregateOp::Min),
        b"max" => Aggregate(AggregateOp::Max),
        b"group" => Aggregate(AggregateOp::Group),
        b"stddev" => Aggregate(AggregateOp::Stddev),
        b"stdvar" => Aggregate(AggregateOp::Stdvar),
        b"topk" => Aggregate(AggregateOp::Topk),
        b"bottomk" => Aggregate(AggregateOp::Bottomk),
        b"count_values" => Aggregate(AggregateOp::CountValues),
        b"quantile" => Aggregate(AggregateOp::Quantile),
        b"limitk" => Aggregate(AggregateOp::Limitk),
        b"limit_ratio" => Aggregate(AggregateOp::LimitRatio),
        b"offset" => K(Keyword::Offset),
        b"smoothed" => K(Keyword::Smoothed),
        b"anchored" => K(Keyword::Anchored),
        b"by" => K(Keyword::By),
        b"without" => K(Keyword::Without),
        b"on" => K(Keyword::On),
        b"ignoring" => K(Keyword::Ignoring),
        b"group_left" => K(Keyword::GroupLeft),
        b"group_right" => K(Keyword::GroupRight),
        b"fill" => K(Keyword::Fill),
        b"fill_left" => K(Keyword::FillLeft),
        b"fill_right" => K(Keyword::FillRight),
        b"bool" => K(Keyword::Bool),
        b"start" => K(Keyword::Start),
        b"end" => K(Keyword::End),
        b"inf" | b"nan" => TokenKind::Number,
        _ => return duration_keyword(word),
    })
}

/// The words that may stand in duration expressions.
pub(super) fn duration_keyword(word: &[u8]) -> Option<TokenKind> {
    let keyword = match word.to_ascii_lowercase().as_slice() {
        b"step" => Keyword::Step,
        b"range" => Keyword::Range,
        b"max_of" => Keyword::MaxOf,
        b"min_of" => Keyword::MinOf,
        _ => return None,
    };
    Some(TokenKind::Keyword(keyword))
}

/// The token that a word makes inside a histogram description.
pub(super) fn histogram_word(word: &[u8]) -> Option<TokenKind> {
    use tithon_chunks::CounterResetHint as Hint;
    let key = match word.to_ascii_lowercase().as_slice() {
        b"sum" => HistogramKey::Sum,
        b"count" => HistogramKey::Count,
        b"schema" => HistogramKey::Schema,
        b"offset" => HistogramKey::Offset,
        b"n_offset" => HistogramKey::NegativeOffset,
        b"buckets" => HistogramKey::Buckets,
        b"n_buckets" => HistogramKey::NegativeBuckets,
        b"z_bucket" => HistogramKey::ZeroBucket,
        b"z_bucket_w" => HistogramKey::ZeroBucketWidth,
        b"custom_values" => HistogramKey::CustomValues,
        b"counter_reset_hint" => HistogramKey::CounterResetHint,
        b"inf" | b"nan" => return Some(TokenKind::Number),
        b"unknown" => return Some(TokenKind::ResetHint(Hint::Unknown)),
        b"reset" => return Some(TokenKind::ResetHint(Hint::Reset)),
        b"not_reset" => return Some(TokenKind::ResetHint(Hint::NotReset)),
        b"gauge" => return Some(TokenKind::ResetHint(Hint::Gauge)),
        _ => return None,
    };
    Some(TokenKind::HistogramKey(key))
}

/// `text` as Go's `%q` prints it.
pub(super) fn quoted(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_quoted(&mut out, text).expect("writing to a string succeeds");
    out
}

/// A character as Go's `%q` prints it; the end of input counts as U+FFFD.
pub(super) fn quoted_char(c: Option<char>) -> String {
    let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
    match c {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let text = quoted(c.encode_utf8(&mut [0; 4]).as_bytes());
            format!("'{}'", &text[1..text.len() - 1])
        }
    }
}

/// Quoted, and cut after ten characters if it has more than ten bytes.
fn shortened(text: &[u8]) -> String {
    if text.len() <= 10 {
        return quoted(text);
    }
    let mut cut = Vec::with_capacity(40);
    let mut left = 10;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars().take(left) {
            cut.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            left -= 1;
        }
        let invalid = &chunk.invalid()[..chunk.invalid().len().min(left)];
        cut.extend_from_slice(invalid);
        left -= invalid.len();
    }
    format!("{}...", quoted(&cut))
}
