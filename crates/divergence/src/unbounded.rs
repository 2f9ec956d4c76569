//! A number that may be infinite, in formats that have no infinity (JSON): the text "inf".

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number; infinity is written as "inf".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unbounded(pub(crate) f64);

impl Serialize for Unbounded {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0 == f64::INFINITY { to.serialize_str(INFINITY) } else { to.serialize_f64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Unbounded {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NumberOrInfinity).map(Self)
    }
}

const INFINITY: &str = "inf";

struct NumberOrInfinity;

impl Visitor<'_> for NumberOrInfinity {
    type Value = f64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a number or \"inf\"")
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<f64, E> {
        Ok(x)
    }

    fn visit_u64<E: Error>(self, x: u64) -> Result<f64, E> {
        Ok(x as f64)
    }

    fn visit_i64<E: Error>(self, x: i64) -> Result<f64, E> {
        Ok(x as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            INFINITY => Ok(f64::INFINITY),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}
