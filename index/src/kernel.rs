//! The inner loops over postings, each in the best form this processor has; `scalar` is the twin that all must equal.

#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

/// A form of the inner loops that this processor can run. Only [`Isa::best`] and [`Isa::available`] make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Scalar,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// With byte and word operations.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// Plain code.
    pub const SCALAR: Isa = Isa(Level::Scalar);

    /// The best that this processor has.
    pub fn best() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                return Isa(Level::Avx512);
            }
            if is_x86_feature_detected!("avx2") {
                return Isa(Level::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return Isa(Level::Neon);
        }
        Isa::SCALAR
    }

    /// Everything that this processor has, plain code first.
    pub fn available() -> Vec<Isa> {
        let mut all = vec![Isa::SCALAR];
        #[cfg(target_arch = "x86_64")]
        if Isa::best() == Isa(Level::Avx512) && is_x86_feature_detected!("avx2") {
            all.push(Isa(Level::Avx2));
        }
        if Isa::best() != Isa::SCALAR {
            all.push(Isa::best());
        }
        all
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "aarch64")]
            Level::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }
}

/// Appends the big-endian refs of a stored list; bytes behind the last whole ref are ignored.
pub fn expand(isa: Isa, stored: &[u8], out: &mut Vec<u32>) {
    let (refs, _) = stored.as_chunks::<4>();
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: only `best` and `available` make an `Isa`, and they ask the processor.
        Level::Avx512 => unsafe { x86::expand_avx512(refs, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::expand_avx2(refs, out) },
        _ => scalar::expand(refs, out),
    }
}

/// Appends what is in both; both ascend strictly.
pub fn intersect(isa: Isa, a: &[u32], b: &[u32], out: &mut Vec<u32>) {
    compare::<true>(isa, a, b, out);
}

/// Appends what is in `a` and not in `b`; both ascend strictly.
pub fn difference(isa: Isa, a: &[u32], b: &[u32], out: &mut Vec<u32>) {
    compare::<false>(isa, a, b, out);
}

/// Appends those of `a` that are in `b` (`IN`), or those that are not.
fn compare<const IN: bool>(isa: Isa, a: &[u32], b: &[u32], out: &mut Vec<u32>) {
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: only `best` and `available` make an `Isa`, and they ask the processor.
        Level::Avx512 => unsafe { x86::compare_avx512::<IN>(a, b, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::compare_avx2::<IN>(a, b, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::Neon => unsafe { neon::compare::<IN>(a, b, out) },
        Level::Scalar => scalar::compare::<IN>(a, b, out),
    }
}

/// What is left when one side has no whole block more: `seen` marks those of the first `block` of `a` that were found.
fn compare_rest<const IN: bool>(a: &[u32], b: &[u32], block: usize, seen: u32, out: &mut Vec<u32>) {
    let (first, rest) = a.split_at(block.min(a.len()));
    for (i, r) in first.iter().enumerate() {
        if (seen >> i & 1 == 1 || b.binary_search(r).is_ok()) == IN {
            out.push(*r);
        }
    }
    scalar::compare::<IN>(rest, b, out);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn refs() -> impl Strategy<Value = BTreeSet<u32>> {
        prop_oneof![
            proptest::collection::btree_set(0u32..400, 0..300),
            proptest::collection::btree_set(0u32..4000, 0..300),
            proptest::collection::btree_set(any::<u32>(), 0..100)
        ]
    }

    proptest! {
        #[test]
        fn every_form_is_the_set_operation(a in refs(), b in refs()) {
            let (va, vb): (Vec<u32>, Vec<u32>) = (a.iter().copied().collect(), b.iter().copied().collect());
            let stored: Vec<u8> = va.iter().flat_map(|r| r.to_be_bytes()).collect();
            for isa in Isa::available() {
                let (mut both, mut only, mut expanded) = (vec![7], vec![7], vec![7]);
                intersect(isa, &va, &vb, &mut both);
                difference(isa, &va, &vb, &mut only);
                expand(isa, &stored, &mut expanded);
                prop_assert_eq!(&both[1..], a.intersection(&b).copied().collect::<Vec<_>>(), "{:?}", isa);
                prop_assert_eq!(&only[1..], a.difference(&b).copied().collect::<Vec<_>>(), "{:?}", isa);
                prop_assert_eq!(&expanded[1..], &va, "{:?}", isa);
            }
        }
    }
}
