//! Tells the processor what will be read soon, so that it comes from memory while something else is done.
//!
//! A hint and nothing more: no value is read, an address that is not mapped is no fault, and on a processor that we
//! have no instruction for nothing happens.

/// What is fetched at a time.
const LINE: usize = 64;

/// Asks for all of `value`, but not for what it points to.
pub fn prefetch<T: ?Sized>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    let misaligned = start.addr() % LINE;
    (0..misaligned + size_of_val(value)).step_by(LINE).for_each(|at| prefetch_line(start.wrapping_add(at)));
}

/// Asks for the line at an address, which need not be one of anything.
pub fn prefetch_line<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "the instruction has no safe interface")]
        // SAFETY: a prefetch neither reads nor writes in the sense of the language, and never faults; the instruction
        // is part of every x86-64.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_to_what_is_asked_for_nor_where_nothing_is() {
        let value = [1u8; 1_000];
        prefetch(&value[1..]);
        prefetch::<[u8]>(&[]);
        prefetch_line(std::ptr::null::<u8>());
        prefetch_line(std::ptr::without_provenance::<u8>(usize::MAX));
        assert_eq!(value, [1; 1_000]);
    }
}
