//! The names that a pickle may mention.
//!
//! Nothing is ever imported: a name on the list becomes an inert value, which the rest of this
//! crate interprets. The list contains the names that PyTorch, NumPy and EDM's classes write into
//! files of networks. It lists exact names, because a pattern could admit more than intended.

/// Classes whose calls and instances are dictionaries.
const MAPPINGS: [(&str, &str); 3] =
    [("collections", "OrderedDict"), ("collections", "defaultdict"), ("dnnlib.util", "EasyDict")];

/// Modules and their allowed names.
const ALLOWED: &[(&str, &[&str])] = &[
    ("torch_utils.persistence", &["_reconstruct_persistent_obj"]),
    ("dnnlib.util", &["EasyDict"]),
    ("collections", &["OrderedDict", "defaultdict"]),
    // Sets and byte strings in protocols below 4.
    ("builtins", &["set", "frozenset", "bytearray", "dict", "list"]),
    ("__builtin__", &["set", "frozenset", "bytearray", "dict", "list"]),
    ("_codecs", &["encode"]),
    (
        "torch._utils",
        &[
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
        ],
    ),
    (
        "torch.storage",
        &["_load_from_bytes", "UntypedStorage", "_UntypedStorage", "TypedStorage", "_TypedStorage"],
    ),
    (
        "torch",
        &[
            "FloatStorage",
            "DoubleStorage",
            "HalfStorage",
            "BFloat16Storage",
            "LongStorage",
            "IntStorage",
            "ShortStorage",
            "CharStorage",
            "ByteStorage",
            "BoolStorage",
            "Size",
            "device",
            "float32",
            "float64",
            "float16",
            "bfloat16",
            "int64",
            "int32",
            "int16",
            "int8",
            "uint8",
            "bool",
            "channels_last",
            "contiguous_format",
            "preserve_format",
        ],
    ),
    (
        "torch.nn.modules.container",
        &["ModuleDict", "ModuleList", "Sequential", "ParameterDict", "ParameterList"],
    ),
    ("torch.nn.modules.linear", &["Linear", "Identity"]),
    ("torch.nn.modules.conv", &["Conv1d", "Conv2d", "ConvTranspose2d"]),
    ("torch.nn.modules.normalization", &["GroupNorm", "LayerNorm"]),
    ("torch.nn.modules.batchnorm", &["BatchNorm1d", "BatchNorm2d"]),
    ("torch.nn.modules.sparse", &["Embedding"]),
    ("torch.nn.modules.flatten", &["Flatten"]),
    ("torch.nn.modules.dropout", &["Dropout"]),
    ("torch.nn.modules.pooling", &["AvgPool2d", "MaxPool2d", "AdaptiveAvgPool2d"]),
    ("torch.nn.modules.upsampling", &["Upsample"]),
    (
        "torch.nn.modules.activation",
        &["SiLU", "ReLU", "ReLU6", "LeakyReLU", "GELU", "Sigmoid", "Tanh"],
    ),
    ("torch.nn.parameter", &["Parameter"]),
    // Options of a program, stored next to the weights in its checkpoints.
    ("argparse", &["Namespace"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
];

/// True if a pickle may contain the name.
pub(super) fn is_allowed(module: &str, name: &str) -> bool {
    ALLOWED.iter().any(|(it, names)| *it == module && names.contains(&name))
}

/// True if instances of the class are read as dictionaries.
pub(super) fn is_mapping(module: &str, name: &str) -> bool {
    MAPPINGS.contains(&(module, name)) || (is_builtin(module) && name == "dict")
}

/// True for the module of Python's built-in names, in Python 2 or 3.
pub(super) fn is_builtin(module: &str) -> bool {
    ["builtins", "__builtin__"].contains(&module)
}

/// True if the class belongs to `torch.nn.modules`.
pub(super) fn is_torch_module(module: &str) -> bool {
    module.starts_with("torch.nn.modules.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_names_are_allowed() {
        assert!(is_allowed("torch._utils", "_rebuild_tensor_v2"));
        for (module, name) in [
            ("os", "system"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("builtins", "exec"),
            ("torch", "load"),
            ("torch.nn.modules.container", "ModuleDict.forward"),
            ("torch.nn.modules", "container"),
            ("torch.hub", "load"),
            ("torch", "Size.__class__"),
            ("numpy", "load"),
            ("", ""),
        ] {
            assert!(!is_allowed(module, name), "{module}.{name}");
        }
    }
}
