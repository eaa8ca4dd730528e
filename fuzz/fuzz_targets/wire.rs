//! Bytes of a client of the Postgres protocol.
#![cfg_attr(not(test), no_main)]

#[cfg(not(test))]
libfuzzer_sys::fuzz_target!(|input: &[u8]| relcast_fuzz::wire(input));
