//! The reverse pass against candle's graph.
