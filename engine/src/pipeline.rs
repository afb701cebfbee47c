//! A pipeline of three stages that work at the same time on successive items.

/// Reads items in turn until there are no more, makes a result from each, and writes the results in the order of
/// reading. While one result is written, the next is made and the item after it is read, in the rayon pool of the
/// caller.
///
/// Ends with the first failure; work that has begun by then is finished and dropped.
pub(crate) fn pipeline<A: Send, B: Send, E: Send>(
    mut read: impl FnMut() -> Result<Option<A>, E> + Send,
    make: impl Fn(A) -> Result<B, E> + Sync,
    mut write: impl FnMut(B) -> Result<(), E> + Send,
) -> Result<(), E> {
    let (mut fresh, mut made) = (read()?, None);
    while fresh.is_some() || made.is_some() {
        let (to_make, to_write) = (fresh.take(), made.take());
        let more = to_make.is_some();
        let (written, (next_made, next)) = rayon::join(
            || to_write.map_or(Ok(()), &mut write),
            || rayon::join(|| to_make.map(&make).transpose(), || if more { read() } else { Ok(None) }),
        );
        written?;
        (made, fresh) = (next_made?, next?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u32, bad: u32) -> (Vec<u32>, Result<(), u32>) {
        let (mut next, mut out) = (0, Vec::new());
        let read = || {
            next += 1;
            Ok((next <= n).then_some(next))
        };
        let make = |item| if item == bad { Err(item) } else { Ok(10 * item) };
        let result = pipeline(read, make, |item| {
            out.push(item);
            Ok(())
        });
        (out, result)
    }

    #[test]
    fn items_come_in_order_and_all() {
        assert_eq!(run(0, 9), (vec![], Ok(())));
        assert_eq!(run(1, 9), (vec![10], Ok(())));
        assert_eq!(run(5, 9), (vec![10, 20, 30, 40, 50], Ok(())));
        assert_eq!(run(5, 3).1, Err(3));
    }
}
