//! What a hostile client tries, and what an unlucky one meets.

mod encrypted;
mod parents;
