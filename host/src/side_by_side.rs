//! Many calls at once, and never too many.

use tokio::task::JoinSet;

/// How many calls are under way at once.
const AT_ONCE: usize = 16;

/// All of them, in their order, [`AT_ONCE`] at a time. Dropped, it drops those that are under way.
pub(crate) async fn side_by_side<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut work = work.enumerate();
    let (mut under_way, mut done) = (JoinSet::new(), Vec::new());
    loop {
        while under_way.len() < AT_ONCE
            && let Some((index, next)) = work.next()
        {
            under_way.spawn(async move { (index, next.await) });
        }
        match under_way.join_next().await {
            Some(Ok(read)) => done.push(read),
            Some(Err(fault)) => match fault.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Nobody cancels them, but for the end of the process.
                Err(_) => std::future::pending().await,
            },
            None => break,
        }
    }
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, value)| value).collect()
}
