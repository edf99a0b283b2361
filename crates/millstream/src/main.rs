//! The `millstream` command, and how its process holds memory.
//!
//! Nearly half of the time of stateful batches went into pages that the system zeroed anew, in two ways that are turned off here:
//!
//! * The allocator gave freed memory back after 10 ms, and the next batch asked for it again. It now stays for
//!   [`KEEP_FREED_MS`]; a server that has become idle gives it back. `MIMALLOC_PURGE_DELAY` overrides that.
//! * Transparent huge pages are zeroed 2 MiB at a time, where a batch touches some kilobytes; a word count took 120 MiB
//!   with them and 70 without. Programs that the process starts do without them too.
mod cli;

use std::{ffi::c_long, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long freed memory is kept before the system gets it back.
const KEEP_FREED_MS: c_long = 10_000;
/// `mi_option_purge_delay`, a number of mimalloc's public interface that its Rust binding has no name for.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

#[allow(unsafe_code)]
fn hold_memory() {
    // SAFETY: sets an atomic number in the allocator's table of options, of which 15 is one in every release since 2.0.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEEP_FREED_MS) };
    // SAFETY: changes a flag of the process; no memory is passed. A kernel that does not know it refuses, which costs speed alone.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

fn main() -> ExitCode {
    hold_memory();
    cli::main()
}
