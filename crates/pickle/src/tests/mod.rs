//! Files of every kind read back as they were written, and hostile ones are refused.

mod archives;
mod damage;
mod edm;
mod files;
mod hostile;
mod interpreter;
mod round_trip;
mod scanning;
mod views;
