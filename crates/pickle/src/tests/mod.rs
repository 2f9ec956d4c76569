//! Round trips of files of every kind, and refusal of hostile files.

mod archives;
mod damage;
mod edm;
mod files;
mod hostile;
mod interpreter;
mod round_trip;
mod scanning;
mod views;
