//! C++ around a rewritten library: one function per kernel, with buffers by index.

use std::fmt::Write as _;

use crate::signature::{Kernel, Parameter};

/// Returns a translation unit with the library in a separate namespace, its wrappers and their
/// table.
pub fn unit(library: &str, body: &str, kernels: &[Kernel]) -> String {
    let mut text = format!(
        "#include \"metal_stdlib\"\n#include \"msl_entry.h\"\n\
         namespace msl_{library}_source {{\nusing namespace metal;\n{body}\n"
    );
    for kernel in kernels {
        text += &wrapper(kernel);
    }
    text += "static const MslEntry entries[] = {\n";
    for kernel in kernels {
        let name = &kernel.name;
        writeln!(text, "    {{\"{name}\", {name}__run}},").expect("a string takes all");
    }
    text += "};\n}\n";
    text + &format!(
        "extern \"C\" const MslEntry* msl_{library}(size_t* count) {{\n    \
         *count = {};\n    return msl_{library}_source::entries;\n}}\n",
        kernels.len()
    )
}

fn wrapper(kernel: &Kernel) -> String {
    let name = &kernel.name;
    let arguments: Vec<_> = kernel.parameters.iter().map(argument).collect();
    let arguments = arguments.join(", ");
    let constants: String = kernel.parameters.iter().filter_map(constant).collect();
    let buffers = kernel.parameters.iter().filter(|it| it.buffer().is_some()).count();
    format!(
        "static void {name}__thread(void* context) {{\n    \
         void** b = static_cast<void**>(context);\n    {name}({arguments});\n}}\n\
         static int {name}__run(const MslLaunch* launch) {{\n    \
         if (launch->count != {buffers})\n        \
         return gpurt::fail(gpurt::BAD_LAUNCH, \"{name}: expected {buffers} buffers\");\n\
         {constants}    return msl_launch({name}__thread, launch);\n}}\n"
    )
}

/// Returns a check of a constant's size.
fn constant(parameter: &Parameter) -> Option<String> {
    let index = parameter.buffer()?;
    let ty = parameter.ty.strip_prefix("constant ")?.strip_suffix('&')?.trim();
    Some(format!(
        "    if (launch->lengths[{index}] != sizeof({ty}))\n        \
         return gpurt::fail(gpurt::BAD_LAUNCH, \"constant {index} does not have the size of {ty}\");\n"
    ))
}

/// Returns the expression for an argument.
fn argument(parameter: &Parameter) -> String {
    let Parameter { ty, attribute } = parameter;
    let mut plain = ty.replace("constant ", "const ");
    for space in ["device ", "threadgroup "] {
        plain = plain.replace(space, "");
    }
    if let Some(index) = parameter.buffer() {
        return match plain.strip_suffix('&') {
            Some(value) => format!("*static_cast<{}*>(b[{index}])", value.trim()),
            None => format!("static_cast<{plain}>(b[{index}])"),
        };
    }
    if attribute.starts_with("threadgroup(") {
        return format!("static_cast<{plain}>(gpurt::self->dynamic_shared)");
    }
    builtin(ty, attribute)
}

fn builtin(ty: &str, attribute: &str) -> String {
    let vector = |name: &str| {
        let value = format!("gpurt::self->{name}");
        match ty {
            "uint" => format!("{value}.x"),
            "uint2" => format!("uint2{{{value}.x, {value}.y}}"),
            "uint3" => format!("uint3{{{value}.x, {value}.y, {value}.z}}"),
            _ => panic!("`{attribute}` cannot have the type `{ty}`"),
        }
    };
    match attribute {
        "thread_position_in_threadgroup" => vector("tid"),
        "threadgroup_position_in_grid" => vector("bid"),
        "threads_per_threadgroup" => vector("bdim"),
        "threadgroups_per_grid" => vector("gdim"),
        "thread_position_in_grid" if ty == "uint" => {
            "gpurt::self->bid.x * gpurt::self->bdim.x + gpurt::self->tid.x".to_owned()
        }
        "thread_index_in_threadgroup" => "gpurt::self->linear".to_owned(),
        "thread_index_in_simdgroup" => "gpurt::self->linear % gpurt::WARP".to_owned(),
        "simdgroup_index_in_threadgroup" => "gpurt::self->linear / gpurt::WARP".to_owned(),
        "simdgroups_per_threadgroup" => "msl_simdgroups()".to_owned(),
        _ => panic!("no translation of the attribute `{attribute}` of type `{ty}`"),
    }
}
