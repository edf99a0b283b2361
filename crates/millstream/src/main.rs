//! The `millstream` command.
//!
//! Freed memory stays with the process for a while ([`KEEP_FREED_MS`]): a micro-batch asks for what the batch before it gave
//! back, and fetching pages from the system anew, zeroed, took half of the time of small batches. A server that has
//! become idle gives it back. `MIMALLOC_PURGE_DELAY` in the environment overrides it.
mod cli;

use std::{ffi::c_long, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long freed memory is kept before the system gets it back. The allocator's own default is 10 ms.
const KEEP_FREED_MS: c_long = 10_000;
/// `mi_option_purge_delay`, a number of mimalloc's public interface that its Rust binding has no name for.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // SAFETY: sets an atomic number in the allocator's table of options, of which 15 is one in every release since 2.0.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEEP_FREED_MS);
    }
    cli::main()
}
