//! Plain loops: what every other form must equal.

pub(super) fn expand(stored: &[[u8; 4]], out: &mut Vec<u32>) {
    out.extend(stored.iter().map(|r| u32::from_be_bytes(*r)));
}

/// A merge without branches on the outcome of a comparison, but for the push.
pub(super) fn compare<const IN: bool>(a: &[u32], b: &[u32], out: &mut Vec<u32>) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i], b[j]);
        if if IN { x == y } else { x < y } {
            out.push(x);
        }
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    if !IN {
        out.extend_from_slice(&a[i..]);
    }
}
