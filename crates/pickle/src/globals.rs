//! The names that a pickle may mention.
//!
//! Nothing here is ever imported: a name on the list becomes an inert value that the layers above
//! know how to read. The list is what PyTorch, NumPy and EDM's own classes put into the files of
//! networks; it is a list of exact names, for a rule would let something through.

/// Calls of these, and instances of these, are dictionaries.
const MAPPINGS: [(&str, &str); 3] =
    [("collections", "OrderedDict"), ("collections", "defaultdict"), ("dnnlib.util", "EasyDict")];

/// Module and names of it.
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
    // Options of a program, beside the weights in its checkpoints.
    ("argparse", &["Namespace"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
];

/// Whether a pickle may mention the name.
pub(super) fn is_allowed(module: &str, name: &str) -> bool {
    ALLOWED.iter().any(|(it, names)| *it == module && names.contains(&name))
}

/// Whether instances of the class are read as dictionaries.
pub(super) fn is_mapping(module: &str, name: &str) -> bool {
    MAPPINGS.contains(&(module, name)) || (is_builtin(module) && name == "dict")
}

/// Python's built-in names, under the module's name of Python 2 or 3.
pub(super) fn is_builtin(module: &str) -> bool {
    ["builtins", "__builtin__"].contains(&module)
}

/// Whether the class is a module of PyTorch's own.
pub(super) fn is_torch_module(module: &str) -> bool {
    module.starts_with("torch.nn.modules.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_of_the_list_are_allowed() {
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
