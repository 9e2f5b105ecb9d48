//! A list that is nearly always of one element, which then costs no allocation.

use std::ops::Deref;

/// None, one or more elements, in the order they came.
#[derive(Clone, Debug, Default)]
pub enum Few<T> {
    /// No element.
    #[default]
    None,
    /// One, in place.
    One(T),
    /// More than one.
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// Adds one at the end.
    pub fn push(&mut self, value: T) {
        *self = match std::mem::take(self) {
            Few::None => Few::One(value),
            Few::One(first) => Few::Many(vec![first, value]),
            Few::Many(mut all) => {
                all.push(value);
                Few::Many(all)
            }
        };
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(value) => std::slice::from_ref(value),
            Few::Many(all) => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_order() {
        let mut few = Few::default();
        assert!(few.is_empty());
        for n in 1..=4 {
            few.push(n);
            assert_eq!(few[..], (1..=n).collect::<Vec<i32>>());
        }
    }
}
