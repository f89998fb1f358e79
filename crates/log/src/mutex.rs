//! Taking a lock here cannot fail.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. Every holder in this crate leaves its value whole at each step, so a panic of one (a defect,
/// reported where it happens) must not take the others down.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
