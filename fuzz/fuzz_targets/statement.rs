//! Text of a client, up to the SQL of its labels.
#![cfg_attr(not(test), no_main)]

#[cfg(not(test))]
libfuzzer_sys::fuzz_target!(|input: &[u8]| relcast_fuzz::statement(input));
