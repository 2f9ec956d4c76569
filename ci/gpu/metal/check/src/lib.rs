//! Nothing of its own: it turns on the features under which `models` with `metal` compiles here.
